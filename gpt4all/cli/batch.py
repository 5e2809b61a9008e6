"""Answers many prompts, several at once: JSONL in, JSONL out."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gpt4all.chat.messages import check_messages
from gpt4all.checks import check_text
from gpt4all.cli import inputs
from gpt4all.cli.arguments import add_generation_options, add_load_options, generation_arguments, open_model
from gpt4all.cli.ask import described
from gpt4all.cli.failures import DONE, PARTLY, UsageError, say
from gpt4all.cli.inputs import Item

if TYPE_CHECKING:
    from gpt4all import Completion


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.epilog = (
        'A line of INPUT is a text, or an object: {"prompt": "…"} or {"messages": […]}, with an "id" if you like.\n'
        'A line of the output has "index" (the line of INPUT, from 0), "id", and "text" and how it ended, or "error".\n'
        "Lines come as answers are done. With -o, what is in the file already is not computed again: after a stop,\n"
        "start the same again."
    )
    parser.add_argument("model", metavar="MODEL", help="what answers, or - for the default")
    parser.add_argument("input", metavar="INPUT", help="a JSONL file, or - for stdin")
    parser.add_argument("-o", "--output", metavar="OUTPUT", help="a file to write to, and to go on with (stdout)")
    parser.add_argument("-j", "--n-parallel", type=int, default=4, metavar="N", help="computed at once (4)")
    parser.add_argument("-s", "--system", metavar="TEXT", help="what the model is told before each prompt")
    parser.add_argument("--raw", action="store_true", help="continue prompts as they are, without a chat template")
    parser.add_argument("--retry-errors", action="store_true", help="compute again what is an error in the output")
    add_generation_options(parser, max_tokens=1024)
    add_load_options(parser)


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    options.model = None if options.model == "-" else options.model
    arguments = generation_arguments(options)
    done = _done(options)
    with ExitStack() as stack:
        items = _to_do(options, done)
        first = next(items, None)
        if first is None:
            say(f"nothing is left to do: {len(done)} answers are there" if done else f"{options.input} has no prompts")
            return DONE
        model = stack.enter_context(open_model(options, n_parallel=options.n_parallel))
        total = inputs.count(options.input, blank_too=False)
        bar = stack.enter_context(inputs.progress_bar("Answering", "prompt", total, len(done)))
        answers = _Answers(_output(options, stack), bar)
        prompts = _prompts(chain([first], items), options, answers)
        for place, completion in stack.enter_context(
            closing(model.generate_many(prompts, as_completed=True, **arguments))
        ):
            answers.write(answers.under_way.pop(place), completion)
    if answers.failed:
        say(f"{answers.failed} prompts failed; their lines say why, and --retry-errors computes them again")
    return PARTLY if answers.failed else DONE


class _Answers:
    """What is written, and the items of prompts that are being answered, by their place among those."""

    def __init__(self, out: IO[str], bar: Any) -> None:
        self.under_way: dict[int, Item] = {}
        self.failed = 0
        self._out = out
        self._bar = bar

    def write(self, item: Item, answer: Completion | Exception) -> None:
        error = answer if isinstance(answer, Exception) else answer.error
        line: dict[str, Any] = {"index": item.index, **({} if item.id is None else {"id": item.id})}
        line["input_hash"] = _hash(item)
        if isinstance(answer, Exception) or error is not None or answer.outcome is None:
            self.failed += 1
            line["error"] = {"type": type(error).__name__, "message": str(error)}
        else:
            line |= described(answer.text, answer.outcome)
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._out.flush()
        self._bar.update()


def _output(options: argparse.Namespace, stack: ExitStack) -> IO[str]:
    if options.output is None:
        return sys.stdout
    return stack.enter_context(inputs.append_whole_lines(Path(options.output)))


def _done(options: argparse.Namespace) -> dict[int, str]:
    """What the output has already: index and hash of the input."""
    # A device or a pipe has nothing to go on with, and may never end.
    if options.output is None or not Path(options.output).is_file():
        return {}
    done: dict[int, str] = {}
    kept: list[str] = []
    redo = False
    with open(options.output, encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, start=1):
            if not text.endswith("\n"):  # a process was killed in it
                break
            try:
                line = json.loads(text)
                index, value = line["index"], line["input_hash"]
            except (ValueError, KeyError, TypeError):
                raise UsageError(
                    f"{options.output}, line {number} is none of gpt4all batch; choose another -o"
                ) from None
            if options.retry_errors and "error" in line:
                redo = True
                continue
            done[index] = value
            kept.append(text)
    if redo:
        staged = Path(f"{options.output}.new")
        staged.write_text("".join(kept), encoding="utf-8", newline="\n")
        staged.replace(options.output)
    return done


def _to_do(options: argparse.Namespace, done: dict[int, str]) -> Iterator[Item]:
    for item in inputs.jsonl(options.input):
        if item.index not in done:
            yield item
        elif done[item.index] != _hash(item):
            raise UsageError(
                f"prompt {item.index} of {options.input} is not the one that {options.output} has an answer to; "
                "choose another -o"
            )


def _prompts(items: Iterable[Item], options: argparse.Namespace, answers: _Answers) -> Iterator[Any]:
    """As ``generate_many`` takes them. What is none becomes a line of the output at once."""
    place = 0
    for item in items:
        try:
            prompt = _prompt(item, options)
        except (ValueError, TypeError) as error:
            answers.write(item, error)
            continue
        answers.under_way[place] = item
        place += 1
        yield prompt


def _prompt(item: Item, options: argparse.Namespace) -> Any:
    if item.error is not None:
        raise ValueError(item.error)
    value = item.value
    if isinstance(value, dict):
        if ("prompt" in value) == ("messages" in value):
            raise ValueError("a line needs either prompt or messages")
        if "messages" in value:
            messages = check_messages(value["messages"])
            if not messages or messages[-1]["role"] != "user":
                raise ValueError("the last message must be the user's")
            return messages
        value = value["prompt"]
    check_text("prompt", value)
    if options.raw:
        return value
    system = [] if options.system is None else [{"role": "system", "content": options.system}]
    return [*system, {"role": "user", "content": value}]


def _hash(item: Item) -> str:
    return hashlib.sha256(json.dumps(item.value, sort_keys=True).encode()).hexdigest()[:16]
