"""The model that a command takes where none is named."""

from __future__ import annotations

import argparse
import os
from typing import Any

from gpt4all.cli.failures import say

#: Of the catalogue: 0.8 GB, runs on nearly every machine, answers in eight languages.
FETCHED = "Llama-3.2-1B-Instruct-Q4_0.gguf"
VARIABLE = "GPT4ALL_DEFAULT_MODEL"
#: Of what is free, a model and its context should leave some to others.
_SHARE = 0.8


def choose(options: argparse.Namespace) -> str:
    """``GPT4ALL_DEFAULT_MODEL``, else the largest model on this machine that fits its memory, else one to fetch."""
    if named := os.environ.get(VARIABLE):
        return named
    found = best_here(options.model_path)
    if found is not None:
        say(f"no MODEL was named: taking {found['filename']} (gpt4all models list shows what there is)")
        return str(found["path"])
    say(f"no MODEL was named and none is here: taking {FETCHED} (gpt4all models search shows others)")
    return FETCHED


def best_here(directory: str | None) -> dict[str, Any] | None:
    """The largest model that generates text and surely fits; ``None`` where there is none."""
    from gpt4all import GPT4All, GPT4AllError, gguf
    from gpt4all.machine.main_memory import free_memory

    free = free_memory()
    models = GPT4All.list_local_models(directory)
    for model in sorted(models, key=lambda model: (-model["filesize"], model["path"])):
        if not model["complete"] or (free is not None and model["filesize"] > _SHARE * free):
            continue
        try:
            header = gguf.preflight(model["path"])
        except (GPT4AllError, OSError):
            continue
        # One without a template continues texts, and answers no questions.
        if not header.is_embedding and "tokenizer.chat_template" in header.metadata:
            return model
    return None
