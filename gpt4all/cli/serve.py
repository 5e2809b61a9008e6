"""Serves models over HTTP as OpenAI does, with a chat page at /; the extra gpt4all[server] brings what that needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from gpt4all.cli.arguments import add_load_options, load_arguments
from gpt4all.cli.failures import DONE, PARTLY, CommandError, UsageError, say

KEY_VARIABLE = "GPT4ALL_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="what is served; without any, all that are here")
    add = parser.add_argument_group("who may ask").add_argument
    add("--host", default="127.0.0.1", metavar="H", help="the address to listen on (default: this machine only)")
    add("--port", type=int, default=4891, metavar="N", help="default: 4891; 0 takes a free one")
    add("--api-key", action="append", metavar="K", help=f"a key that clients must send; also in {KEY_VARIABLE}")
    add("--allowed-host", action="append", metavar="NAME", help="a name that this server goes by, beside localhost")
    add("--allowed-origin", action="append", metavar="URL", help="a site whose pages may ask, as https://example.org")
    add = parser.add_argument_group("how much").add_argument
    add("--parallel", type=int, default=4, metavar="N", help="answers computed together (default: %(default)s)")
    add("--queue", type=int, default=64, metavar="N", help="answers that may wait for a model (default: %(default)s)")
    add("--max-memory", type=_in("GiB"), metavar="GIB", help="what all loaded models may take (default: all there is)")
    add(
        "--unload-after",
        type=_in("seconds"),
        default=900,
        metavar="S",
        help="seconds until an unused model is unloaded; 0 is never (default: %(default)s)",
    )
    add(
        "--timeout",
        type=_in("seconds"),
        default=600,
        metavar="S",
        help="most seconds for a request (default: %(default)s)",
    )
    add(
        "--grace",
        type=_in("seconds"),
        default=30,
        metavar="S",
        help="seconds for what runs at SIGTERM or Ctrl-C; another ends it (default: %(default)s)",
    )
    add("--max-body", type=_in("MiB"), default=16, metavar="MIB", help="largest request (default: %(default)s)")
    add("--log-requests", action="store_true", help="log what is asked, prompts included")
    add_load_options(parser)


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    try:
        from gpt4all.options import MAX_PARALLEL
        from gpt4all.server.guard import listens_on_loopback
        from gpt4all.server.listening import ListenError, serve
        from gpt4all.server.pool import find_models
        from gpt4all.server.settings import Settings
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "gpt4all":
            raise
        from gpt4all._native.installation import requirement

        raise CommandError(f"{error.name} is missing; pip install {requirement('server')} brings it") from None
    keys = options.api_key or [key for key in [os.environ.get(KEY_VARIABLE)] if key]
    if not all(key.isascii() and key.isprintable() and " " not in key and key for key in keys):
        raise UsageError("an API key must be printable ASCII without spaces")
    if not keys and not listens_on_loopback(options.host):
        raise UsageError(
            f"--host {options.host} lets other machines ask, which needs a key: --api-key, or {KEY_VARIABLE}"
        )
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port must be from 0 to 65535, not {options.port}")
    settings = Settings(
        host=options.host,
        port=options.port,
        api_keys=tuple(keys),
        allowed_hosts=tuple(options.allowed_host or ()),
        allowed_origins=tuple(origin.rstrip("/") for origin in options.allowed_origin or ()),
        load=load_arguments(options),
        n_parallel=int(_within("--parallel", options.parallel, 1, MAX_PARALLEL)),
        queue=int(_within("--queue", options.queue, 0)),
        max_memory=None
        if options.max_memory is None
        else int(_within("--max-memory", options.max_memory, 0, 1 << 30) * (1 << 30)),
        unload_after=_within("--unload-after", options.unload_after, 0),
        timeout=_within("--timeout", options.timeout, 1),
        grace=_within("--grace", options.grace, 0),
        max_body=int(_within("--max-body", options.max_body, 0.001, 1 << 20) * (1 << 20)),
        log_requests=options.log_requests,
    )
    models = find_models(options.models, settings)
    if not models:
        raise UsageError("there are no models here; name one, as Llama-3.2-1B-Instruct-Q4_0.gguf, to fetch it")
    _show_log(options)
    say(f"serving {', '.join(models)}")
    try:
        return DONE if serve(models, settings) else PARTLY
    except ListenError as error:
        raise CommandError(str(error)) from None


def _in(unit: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit}, such as 0.5") from None

    return number


def _show_log(options: argparse.Namespace) -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("gpt4all.server")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # With --verbose the package shows its lines by itself.
    logger.propagate = False


def _within(name: str, value: float, least: float, most: float = sys.float_info.max) -> float:
    if not least <= value <= most:
        upto = "" if most == sys.float_info.max else f" and at most {most:g}"
        raise UsageError(f"{name} must be a number of at least {least:g}{upto}, not {value:g}")
    return value
