"""What ``scripts/dev fuzz gguf`` calls with each input; it runs in an environment of its own."""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    # A bare package: the environment has none of the things that importing the whole of gpt4all takes.
    package = types.ModuleType("gpt4all")
    package.__path__ = [str(ROOT / "gpt4all")]
    sys.modules["gpt4all"] = package
    with atheris.instrument_imports(include=["gpt4all"]):
        errors: Any = importlib.import_module("gpt4all.errors")
        gguf: Any = importlib.import_module("gpt4all.gguf.preflight")

    folder = Path(os.environ["FUZZ_DIRECTORY"])
    # The name of a split's first part, with a sound second one beside it, lets inputs reach those checks too.
    first, second = folder / "m-00001-of-00002.gguf", folder / "m-00002-of-00002.gguf"
    second.write_bytes((ROOT / "tests/corpus/gguf/split-second").read_bytes())

    # One file kept open: some file systems write a truncated file to disk when it is closed.
    target = os.open(first, os.O_RDWR | os.O_CREAT)

    def judge(data: bytes) -> None:
        os.ftruncate(target, len(data))
        os.pwrite(target, data, 0)
        try:
            header = gguf.preflight(first)
        except errors.GPT4AllError as error:
            if not str(error).isprintable():
                raise AssertionError(f"control codes in the message {str(error)!r}") from error
        else:
            repr((header, header.is_embedding, header.context_length))

    atheris.Setup(sys.argv, judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
