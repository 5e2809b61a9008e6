"""Options that commands share, and the model that they name."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.checks import USUAL_CONTEXT
from gpt4all.cli.failures import UsageError

if TYPE_CHECKING:
    from gpt4all import GPT4All
    from gpt4all.gguf.preflight import GGUFHeader


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``GPT4All``; each has the name of its argument."""
    group = parser.add_argument_group("loading the model")
    group.add_argument("--device", default="auto", metavar="D", help="auto (the default), cpu, gpu, cuda, kompute, …")
    group.add_argument(
        "--n-ctx",
        type=int,
        metavar="N",
        help=f"context size in tokens; 0 is the trained length (default: {USUAL_CONTEXT}, or that if it is less)",
    )
    group.add_argument("--n-threads", type=int, metavar="N", help="CPU threads (default: the physical cores)")
    group.add_argument("--ngl", type=int, default=100, metavar="N", help="layers to put on the GPU (default: all)")
    group.add_argument("--kv-type", default="f16", metavar="T", help="type of the KV cache: f16, q8_0, …")
    group.add_argument("--flash-attention", choices=("auto", "on", "off"), default="auto", help="default: auto")
    group.add_argument("--main-gpu", type=int, default=0, metavar="N", help="GPU for the output, with --tensor-split")
    group.add_argument("--tensor-split", type=_numbers, metavar="A,B", help="shares of the GPUs")
    group.add_argument("--no-mmap", action="store_true", help="read the file instead of mapping it")
    group.add_argument("--model-path", metavar="DIR", help="the folder that models are in, and are downloaded to")
    group.add_argument("--offline", action="store_true", help="never open a socket")
    group.add_argument("-v", "--verbose", action="store_true", help="show the engine's log, and errors in full")


def add_generation_options(parser: argparse.ArgumentParser, *, max_tokens: int) -> None:
    """Adds the options of ``GPT4All.generate``; each has the name of its argument."""
    group = parser.add_argument_group("generating")
    add = group.add_argument
    add("--max-tokens", type=int, default=max_tokens, metavar="N", help=f"most tokens an answer has ({max_tokens})")
    add("--temp", type=float, metavar="T", help="temperature; 0 always takes the likeliest token (default: 0.7)")
    add("--top-k", type=int, metavar="N", help="draw from so many likeliest tokens (default: 40)")
    add("--top-p", type=float, metavar="P", help="draw from the likeliest that reach this sum (default: 0.4)")
    add("--min-p", type=float, metavar="P", help="drop those less likely than this share of the likeliest (default: 0)")
    add("--repeat-penalty", type=float, metavar="X", help="1 is off (default: 1.18; 1 with a grammar or schema)")
    add("--repeat-last-n", type=int, metavar="N", help="tokens that it counts for (default: 64)")
    add("--presence-penalty", type=float, metavar="X", help="taken off tokens that the answer has (default: 0)")
    add("--frequency-penalty", type=float, metavar="X", help="the same, for each time it has them (default: 0)")
    add("--n-batch", type=int, metavar="N", help="prompt tokens computed at once (default: 512)")
    add("--seed", type=int, metavar="N", help="makes the draw repeatable")
    add("--stop", action="append", metavar="TEXT", help="ends the answer; may be given several times")
    add("--logit-bias", action="append", type=_bias, metavar="ID=B", help="added to a token's logit; -inf bans it")
    add("--grammar", metavar="FILE", help="a GBNF grammar that the answer keeps to")
    add("--schema", metavar="FILE", help="a JSON Schema that the answer, then JSON, keeps to; also the schema itself")


def add_chat_options(parser: argparse.ArgumentParser) -> None:
    """Adds what ``GPT4All.new_chat`` takes."""
    group = parser.add_argument_group("the conversation")
    group.add_argument("-s", "--system", metavar="TEXT", help="what the model is told first")
    group.add_argument("--template", metavar="FILE", help="a chat template, instead of the model's own")
    group.add_argument(
        "--template-arg",
        action="append",
        type=_assignment,
        metavar="K=V",
        help="a variable for the template, as enable_thinking=false",
    )


def chat_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for ``new_chat``."""
    return {
        "system_prompt": options.system,
        "prompt_template": None if options.template is None else read_text(options.template),
        "template_args": dict(options.template_arg or ()) or None,
    }


def generation_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for ``generate``: those that were given, checked as far as that goes without a model."""
    from gpt4all.options import GenerationOptions

    named = ("max_tokens", "temp", "top_k", "top_p", "min_p", "n_batch", "seed", "stop", "logprobs")
    penalties = ("repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty")
    arguments = {
        name: getattr(options, name) for name in (*named, *penalties) if getattr(options, name, None) is not None
    }
    if options.logit_bias:
        arguments["logit_bias"] = dict(options.logit_bias)
    if options.grammar is not None:
        arguments["grammar"] = read_text(options.grammar)
    if options.schema is not None:
        arguments["json_schema"] = read_schema(options.schema)
    GenerationOptions.create(**arguments)
    return arguments


def open_model(options: argparse.Namespace, **more: Any) -> GPT4All:
    """Loads the model of the options, fetching it where it is missing; ``more`` goes to ``GPT4All``.

    Raises:
        UsageError: it is an embedding model.
    """
    from gpt4all import GPT4All

    if options.model is None:
        from gpt4all.cli.default_model import choose

        options.model = choose(options)
    arguments = {**load_arguments(options), **more}
    header = fetch(options.model, arguments)
    if header.is_embedding:
        raise UsageError(f"{options.model} is an embedding model, which generates no text; gpt4all embed is for it")
    if options.n_ctx is None:
        arguments["n_ctx"] = header.usual_context
    return GPT4All(options.model, **arguments)


def fetch(model: str, arguments: dict[str, Any]) -> GGUFHeader:
    """What the model's file says. It is fetched where it is missing, but not for arguments that are refused then."""
    from gpt4all import GPT4All, ModelNotFoundError, gguf
    from gpt4all.engine.placement import check_load

    try:
        found = GPT4All.retrieve_model(model, arguments["model_path"], allow_download=False)
    except ModelNotFoundError:
        if not arguments["allow_download"]:
            raise
        check_load(arguments)
        found = GPT4All.retrieve_model(model, arguments["model_path"])
    return gguf.preflight(Path(found["path"]))


def load_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for ``GPT4All`` and ``Embed4All``, but for the model."""
    arguments = {
        "model_path": options.model_path,
        "allow_download": not options.offline,
        "device": options.device,
        "n_threads": options.n_threads,
        "ngl": options.ngl,
        "kv_type": options.kv_type,
        "flash_attention": "auto" if options.flash_attention == "auto" else options.flash_attention == "on",
        "main_gpu": options.main_gpu,
        "tensor_split": options.tensor_split,
        "use_mmap": not options.no_mmap,
        "verbose": options.verbose,
    }
    return arguments if options.n_ctx is None else {**arguments, "n_ctx": options.n_ctx}


def read_text(name: str) -> str:
    """The text of a file, ``-`` for stdin."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})") from None


def read_schema(name: str) -> dict[str, Any]:
    """A JSON Schema: of a file, or written as the argument."""
    text = name if name.lstrip().startswith("{") else read_text(name)
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--schema {name} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise UsageError(f"--schema {name} is no JSON object")
    return schema


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not A,B,…: a number for each GPU") from None


def _bias(text: str) -> tuple[int, float]:
    token, _, bias = text.partition("=")
    try:
        return int(token), float(bias)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not TOKEN_ID=BIAS, two numbers") from None


def _assignment(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
