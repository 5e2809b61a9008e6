"""The model of the comparisons: one that every peer, old and new, can load."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nativebuild.cache import lock
from nativebuild.report import BuildError, run_quietly, say
from nativebuild.venvs import child_environment, venv_program
from testmodels.cache import ModelError
from testmodels.registry import MODELS
from testmodels.store import ensure

__all__ = ["GGUF_REQUIREMENT", "comparison_model", "test_model"]

GGUF_REQUIREMENT = "gguf==0.17.1"
_RECIPE = "Q4_0, pre-tokenizer gpt-2"


def comparison_model(directory: Path, quantize: Path, gguf_python: Path) -> Path:
    """SmolLM2 requantised to Q4_0, with a pre-tokenizer named that gpt4all 2.8.2 knows.

    That version's engine is of July 2024 and refuses the name ``smollm``.
    """
    (source,) = MODELS["smollm2"].files
    key = hashlib.sha256(f"{_RECIPE} {source.sha256} {GGUF_REQUIREMENT} {quantize}".encode()).hexdigest()[:12]
    target = directory / f"SmolLM2-135M-Instruct.Q4_0.gpt-2.{key}.gguf"
    with lock("bench-model"):
        if not target.exists():
            directory.mkdir(parents=True, exist_ok=True)
            _make(target, quantize, gguf_python)
    return target


def test_model(name: str) -> Path:
    """A model of the tests, fetched or written where it is missing."""
    try:
        return ensure(name, say=say)
    except ModelError as error:
        raise BuildError(str(error)) from error


def _make(target: Path, quantize: Path, gguf_python: Path) -> None:
    original = test_model("smollm2")
    quantized, renamed = target.with_suffix(".q4_0.part"), target.with_suffix(".part")
    rewrite = venv_program(gguf_python.parent.parent, "gguf-new-metadata")
    steps: list[list[str | Path]] = [
        [quantize, "--allow-requantize", original, quantized, "Q4_0", "2"],
        [rewrite, "--force", "--pre-tokenizer", "gpt-2", quantized, renamed],
    ]
    for step in steps:
        result = run_quietly(step, env=child_environment(), doing=f"{Path(step[0]).name}: the comparison model")
        if result.returncode != 0:
            raise BuildError(f"{Path(step[0]).name} failed", details=result.stdout[-3000:])
    quantized.unlink()
    renamed.replace(target)
