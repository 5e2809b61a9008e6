"""The directories where models and the catalogue are kept. Nothing is created here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["default_model_directory", "desktop_model_directories", "user_cache"]


def default_model_directory() -> Path:
    """Where models are kept unless the caller says otherwise.

    ``GPT4ALL_MODEL_DIR`` if set; else ``~/.cache/gpt4all`` where it exists; else platformdirs' user cache directory for
    ``gpt4all``. A user without a home directory gets a path that begins with ``~``: nothing is there.
    """
    if chosen := os.environ.get("GPT4ALL_MODEL_DIR"):
        return Path(os.path.expanduser(chosen))
    classic = _home() / ".cache" / "gpt4all"
    if os.path.isdir(classic):
        return classic
    return user_cache()


def _home() -> Path:
    # Path.home() raises where a container gives its user no home directory. What pathlib raises for a home that may not
    # be entered, os.path takes for no: neither keeps a model from loading by its path.
    return Path(os.path.expanduser("~"))


def desktop_model_directories() -> list[Path]:
    """The folders, of those that exist, where the desktop application keeps its models. Only ever read."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        candidates = [Path(base)] if base else []
    elif sys.platform == "darwin":
        candidates = [_home() / "Library" / "Application Support"]
    else:
        shared = _home() / ".local" / "share"
        candidates = [Path(os.environ.get("XDG_DATA_HOME") or shared), shared]
    folders = dict.fromkeys(base / "nomic.ai" / "GPT4All" for base in candidates)
    return [folder for folder in folders if os.path.isdir(folder)]


def user_cache() -> Path:
    """platformdirs' cache directory for ``gpt4all``; for a user without a home a path that begins with ``~``."""
    from platformdirs import user_cache_path

    try:
        return user_cache_path("gpt4all", appauthor=False)
    except RuntimeError:  # older releases return such a path themselves
        return Path("~", ".cache", "gpt4all")
