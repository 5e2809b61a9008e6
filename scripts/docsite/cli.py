"""Builds the documentation's site, and checks every link of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nativebuild.report import BuildError

from docsite.links import problems

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[2]
_SITE = _ROOT / "build" / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build it without a warning, or show it while it is written."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev docs",
        description=f"Build the site in {_SITE.relative_to(_ROOT)}, to be read with any browser, without a network. "
        "A warning or a link that leads nowhere is a failure.",
    )
    parser.add_argument("--serve", action="store_true", help="show it on this machine, and build what is changed")
    options = parser.parse_args(arguments)
    if options.serve:
        return _zensical("serve")
    if _zensical("build", "--clean", "--strict"):
        return 1
    if found := problems(_SITE):
        raise BuildError("\n".join(found))
    print(f"{len(list(_SITE.glob('*.html')))} pages; begin with {_SITE / 'index.html'}")
    return 0


def _zensical(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "zensical", *words], cwd=_ROOT, check=False).returncode
