"""``python -m gpt4all``: the command line."""

import sys

from gpt4all.cli import main

if __name__ == "__main__":
    sys.exit(main())
