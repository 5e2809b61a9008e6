"""Runs as ``python scripts/nativebuild``, so that no search path has to be set up before."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from nativebuild.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
