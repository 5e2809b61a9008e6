"""Command line of ``scripts/dev bfcl``.

Function schemas of the Berkeley Function Calling Leaderboard: each becomes a grammar or is refused by name. With a
sample of the questions, a small model is made to call one of their functions, and its arguments have to validate.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nativebuild.cache import cache_dir
from testmodels import ensure

from bfcl.questions import Question, fetch_package, read, read_documented
from gpt4all import GPT4All
from gpt4all.tools.toolbox import read_tools


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/dev bfcl", description=__doc__.partition("\n")[2].strip())
    parser.add_argument("--calls", type=int, default=0, metavar="N", help="ask a model this many of the questions")
    parser.add_argument("--model", type=Path, help="instead of SmolLM2 135M")
    parser.add_argument("--seed", type=int, default=1, help="of the sample and of the answers")
    options = parser.parse_args(arguments)
    package = fetch_package(cache_dir() / "bfcl")
    refused = Counter[str]()
    usable = _compile(list(read(package)), refused)
    apart = list(read_documented(package))
    _count_refused(apart, refused)
    print(f"{len(apart)} functions apart from questions")
    for message, count in refused.most_common():
        print(f"{count:5} refused: {message[:200]}")
    if not options.calls:
        return 0
    return _call(random.Random(options.seed).sample(usable, options.calls), options.model, options.seed)


def _compile(questions: list[Question], refused: Counter[str]) -> list[Question]:
    """The questions all of whose functions can be used."""
    usable = []
    for question in questions:
        before = refused.total()
        _count_refused(question.tools, refused)
        names = {tool["function"]["name"] for tool in question.tools}
        if refused.total() == before and len(names) == len(question.tools):
            usable.append(question)
    print(f"{sum(len(question.tools) for question in questions)} functions of {len(questions)} questions")
    return usable


def _count_refused(tools: list[dict[str, Any]], refused: Counter[str]) -> None:
    """Adds why each tool that is no grammar is none; its name has to be in that."""
    for tool in tools:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                read_tools([tool])
        except (TypeError, ValueError) as error:
            if repr(tool["function"]["name"]) not in str(error):
                raise
            refused[str(error)] += 1


def _call(questions: list[Question], path: Path | None, seed: int) -> int:
    import jsonschema

    wrong, cut_off = 0, 0
    warnings.simplefilter("ignore", UserWarning)
    with GPT4All(path or ensure("smollm2"), n_ctx=8192) as model:
        for question in questions:
            model.generate(
                question.messages,
                tools=question.tools,
                tool_choice="required",
                parallel_tool_calls=False,
                run_tools=False,
                max_tokens=400,
                seed=seed,
            )
            outcome = model.last_generation
            assert outcome is not None
            schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in question.tools}
            cut_off += outcome.finish_reason == "length"
            if outcome.finish_reason == "length" and not outcome.tool_calls:
                continue
            try:
                (call,) = outcome.tool_calls
                jsonschema.validate(call.arguments, schemas[call.name])
            except (KeyError, ValueError, jsonschema.ValidationError) as error:
                wrong += 1
                print(f"{question.name}: {outcome}\n  {error}")
    print(f"{len(questions)} forced calls: {wrong} wrong, {cut_off} cut off by max_tokens, which is said")
    return 1 if wrong else 0
