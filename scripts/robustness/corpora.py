"""The fuzz targets and their corpora under ``tests/corpus``."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CORPUS", "FINDINGS", "TARGETS", "corpus_files"]

_ROOT = Path(__file__).resolve().parents[2]
CORPUS = _ROOT / "tests" / "corpus"
#: Where inputs are left that broke something.
FINDINGS = _ROOT / "build" / "fuzz"
#: Entry points of the shim, each with a program in ``backends/fuzz``.
TARGETS = {
    "answers": "gpt4all_chat_parse: answers in the forms of llama.cpp's templates, cut somewhere",
    "chat": "gpt4all_chat_render, gpt4all_chat_prepare, gpt4all_chat_parse: templates, conversations, answers",
    "generate": "gpt4all_generate: options, grammars, stops, cancelling, one call after another",
    "grammar": "the grammar engine by itself, on made-up vocabularies: reading, masking, choosing, cancelling",
    "text": "gpt4all_tokenize, gpt4all_tokenize_parts, gpt4all_detokenize",
}


def corpus_files(target: str) -> list[Path]:
    return sorted(path for path in (CORPUS / target).iterdir() if path.is_file())
