"""Measures how fast a model reads and writes here, in llama-bench's terms: pp512 and tg128 in tokens a second."""

from __future__ import annotations

import argparse
import json
import random
import statistics
from typing import TYPE_CHECKING, Any

from gpt4all.cli.arguments import add_load_options, open_model
from gpt4all.cli.failures import DONE, FAILED, UsageError, say, text_of

if TYPE_CHECKING:
    from gpt4all import GPT4All

_WORDS = "the of and to in is that for it as was with be by on not he his but at are this have from or had an"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="what to measure (default: see gpt4all --help)")
    parser.add_argument("-p", "--n-prompt", type=int, default=512, metavar="N", help="tokens of the prompt (512)")
    parser.add_argument("-n", "--n-gen", type=int, default=128, metavar="N", help="tokens to generate (128)")
    parser.add_argument("-r", "--repetitions", type=int, default=5, metavar="N", help="how often (5)")
    parser.add_argument("--json", action="store_true", help="write a JSON object for each device and test")
    add_load_options(parser)
    parser.set_defaults(device=None, n_ctx=None)


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    from gpt4all import GPT4All

    if min(options.n_prompt, options.n_gen, options.repetitions) < 1:
        raise UsageError("--n-prompt, --n-gen and --repetitions must be 1 or more")
    if options.n_ctx is None:
        options.n_ctx = max(options.n_prompt + options.n_gen + 8, 512)
    devices = [options.device] if options.device else ["cpu", *GPT4All.list_gpus()]
    worked = shown = 0
    for device in devices:
        try:
            with open_model(argparse.Namespace(**{**vars(options), "device": device})) as model:
                for row in _measure(model, device, options):
                    if not options.json and not shown:
                        print(f"{'device':30} {'test':>8} {'tokens/s':>10}        ±")
                    _show(row, options.json)
                    shown += 1
            worked += 1
        except Exception as error:
            if len(devices) == 1:
                raise
            say(f"{device}: {text_of(error)}")
    return DONE if worked else FAILED


def _measure(model: GPT4All, device: str, options: argparse.Namespace) -> Any:
    draw = random.Random(1)
    # Each begins in its own way, so that nothing of it is known from the one before; the first warms up.
    prompts = [_prompt(model, options.n_prompt, draw) for _ in range(options.repetitions + 1)]
    yield _row(device, f"pp{options.n_prompt}", [_read_speed(model, prompt) for prompt in prompts][1:])
    write = [_write_speed(model, options.n_gen) for _ in range(options.repetitions + 1)]
    yield _row(device, f"tg{options.n_gen}", write[1:])


def _row(device: str, test: str, speeds: list[float]) -> dict[str, Any]:
    spread = statistics.stdev(speeds) if len(speeds) > 1 else 0.0
    return {"device": device, "test": test, "tokens_per_second": statistics.mean(speeds), "stddev": spread}


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(row), flush=True)
    else:
        print(
            f"{row['device']:30} {row['test']:>8} {row['tokens_per_second']:10.1f} {row['stddev']:8.1f}",
            flush=True,
        )


def _prompt(model: GPT4All, n_tokens: int, draw: random.Random) -> str:
    """A text of about so many tokens; how many it has, the engine tells."""
    text = "".join(f" {word}" for word in draw.choices(_WORDS.split(), k=2 * n_tokens))
    ids = model.tokenize(text)[:n_tokens]
    return f"{draw.randrange(10**6)}{model.detokenize(ids[4:])}"


def _read_speed(model: GPT4All, prompt: str) -> float:
    model.generate(prompt, max_tokens=0)
    outcome = model.last_generation
    assert outcome is not None
    return (outcome.prompt_tokens - outcome.cached_tokens) / outcome.prompt_seconds


def _write_speed(model: GPT4All, n_tokens: int) -> float:
    end = model.model.token_eos
    never_ends = {} if end is None else {end: -float("inf")}
    model.generate("Once upon a time", max_tokens=n_tokens, temp=0, repeat_penalty=1.0, stop=[], logit_bias=never_ends)
    outcome = model.last_generation
    assert outcome is not None
    return outcome.completion_tokens / outcome.completion_seconds
