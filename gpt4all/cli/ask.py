"""Answers one question; nothing but the answer is written to stdout."""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from gpt4all.cli.arguments import (
    add_chat_options,
    add_generation_options,
    add_load_options,
    chat_arguments,
    generation_arguments,
    open_model,
)
from gpt4all.cli.failures import DONE, PARTLY, UsageError, say
from gpt4all.cli.terminal import AnswerWriter, write_aside

if TYPE_CHECKING:
    from gpt4all import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.usage = "%(prog)s [OPTION ...] [MODEL] [PROMPT]"
    parser.epilog = (
        "With one word and no input in a pipe that word is the prompt, and the default model answers. What comes in a\n"
        "pipe or from a file is the prompt, or follows it:  gpt4all ask MODEL 'Sum this up:' < report.txt"
    )
    parser.add_argument("words", nargs="*", metavar="MODEL PROMPT", help="a model, or - for the default; a question")
    parser.add_argument("--json", action="store_true", help="write the answer as JSON, with how it ended and took")
    parser.add_argument("--raw", action="store_true", help="continue the prompt as it is, without a chat template")
    parser.add_argument("--logprobs", type=int, metavar="N", help="with --json, each token's N likeliest alternatives")
    parser.add_argument("--show-reasoning", action="store_true", help="write a reasoning model's thinking to stderr")
    add_chat_options(parser)
    parser.add_argument("--tools", metavar="FILE", help="a Python file with functions that the model may call")
    parser.add_argument("--yes", action="store_true", help="call the functions of --tools without asking")
    add_generation_options(parser, max_tokens=1024)
    add_load_options(parser)


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    if options.logprobs is not None and not options.json:
        raise UsageError("--logprobs needs --json, which is where they are written")
    if options.raw and (options.system or options.template or options.template_arg):
        raise UsageError("--raw leaves the conversation out, and with it --system, --template and --template-arg")
    options.model, prompt = _model_and_prompt(options.words)
    arguments = {**generation_arguments(options), **_tool_arguments(options)}
    if options.show_reasoning:
        arguments["reasoning_callback"] = write_aside
    conversation = chat_arguments(options)
    with open_model(options) as model:
        asked = model if options.raw else model.new_chat(**conversation)
        stream = asked.generate(prompt, streaming=True, **arguments)
        pieces = []
        writer = AnswerWriter()
        for piece in stream:
            pieces.append(piece)
            if not options.json:
                writer.write(piece)
        outcome = stream.outcome
    assert outcome is not None
    writer.end()
    text = "".join(pieces)
    if options.json:
        print(json.dumps({"model": options.model, **described(text, outcome)}, ensure_ascii=False))
    elif not text.endswith("\n"):
        print()
    return _status(outcome, complete_wanted=options.schema is not None)


def _tool_arguments(options: argparse.Namespace) -> dict[str, Any]:
    if options.tools is None:
        if options.yes:
            raise UsageError("--yes is for --tools FILE, which names the functions to call")
        return {}
    for name in ("raw", "grammar", "schema"):
        if getattr(options, name):
            raise UsageError(f"--tools and --{name} cannot be combined")
    from gpt4all.cli.tools import UserTools, check_can_ask

    tools = UserTools(options.tools, is_asked=not options.yes)
    if not options.yes:
        check_can_ask()
    return tools.arguments()


def described(text: str, outcome: Outcome) -> dict[str, Any]:
    """An answer and how it ended, for JSON."""
    facts: dict[str, Any] = {
        "text": text,
        "finish_reason": outcome.finish_reason,
        "prompt_tokens": outcome.prompt_tokens,
        "cached_tokens": outcome.cached_tokens,
        "completion_tokens": outcome.completion_tokens,
        "prompt_seconds": round(outcome.prompt_seconds, 4),
        "completion_seconds": round(outcome.completion_seconds, 4),
    }
    if outcome.reasoning is not None:
        facts["reasoning"] = outcome.reasoning
    if outcome.logprobs is not None:
        facts["logprobs"] = outcome.logprobs
    calls = (*outcome.tool_calls, *outcome.refused_calls)
    if calls:
        facts["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments, "result": call.result, "error": call.error}
            for call in calls
        ]
    return facts


def _status(outcome: Outcome, *, complete_wanted: bool) -> int:
    if outcome.finish_reason != "length":
        return DONE
    say(f"the answer was cut off after {outcome.completion_tokens} tokens; --max-tokens allows more")
    # Half of a JSON text is none.
    return PARTLY if complete_wanted else DONE


def _model_and_prompt(words: list[str]) -> tuple[str | None, str]:
    piped = _piped_text()
    if len(words) > 2:
        raise UsageError("ask takes a MODEL and one PROMPT; put the prompt in quotes")
    if len(words) == 1 and piped is None:
        words = ["-", *words]
    model = words[0] if words and words[0] != "-" else None
    prompt = "\n\n".join(part for part in (*words[1:], piped) if part)
    if not prompt:
        raise UsageError("there is no prompt; write it behind the MODEL, in quotes, or pipe it in")
    return model, prompt


def _piped_text() -> str | None:
    """What a pipe, a file or a socket gives; a terminal and ``/dev/null`` are none."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or none at all
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin is not UTF-8 text (byte {error.start})") from None
