"""What PyInstaller has to know to put this package into a program; found through the ``pyinstaller40`` entry point."""

from __future__ import annotations

from pathlib import Path

__all__ = ["hook_folders"]


def hook_folders() -> list[str]:
    """Where PyInstaller finds the hook for ``gpt4all`` and what runs before the program's first line."""
    return [str(Path(__file__).parent)]
