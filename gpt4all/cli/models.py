"""Models: those on this machine, and those of the catalogue."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from gpt4all.cli.failures import DONE, CommandError, UsageError, say, text_of
from gpt4all.cli.model_facts import describe, memory_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, help="what to do:")

    def add(name: str, line: str, action: Any) -> argparse.ArgumentParser:
        new = actions.add_parser(name, help=line, description=line)
        new.add_argument("--model-path", metavar="DIR", help="the folder of models, instead of the usual ones")
        new.set_defaults(action=action)
        return new

    listing = add("list", "the models on this machine, and whether they fit its memory", _list)
    listing.add_argument("--json", action="store_true", help="write a JSON array")
    search = add("search", "models of the catalogue, by words of their names", _search)
    search.add_argument("words", nargs="*", metavar="WORD", help="what the name holds; all models without it")
    search.add_argument("--fits", action="store_true", help="only those for which this machine has memory")
    search.add_argument("--json", action="store_true", help="write a JSON array")
    download = add("download", "fetch a model, going on where an earlier try broke off", _download)
    verify = add("verify", "compare a model's file with its hash", _verify)
    verify.add_argument("--md5", metavar="HEX", help="the hash it should have (default: the catalogue's)")
    verify.add_argument("--sha256", metavar="HEX", help="the same, of another kind")
    delete = add("delete", "delete a model's files from the model folder", _delete)
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")
    info = add("info", "what a model's file says of itself, and what it needs", _info)
    info.add_argument("--n-ctx", type=int, metavar="N", help="the context to count memory for (default: as chat takes)")
    info.add_argument("--json", action="store_true", help="write a JSON object")
    for one in (download, verify, delete, info):
        one.add_argument("model", metavar="MODEL", help="a file, a catalogue name or a Hugging Face reference")


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    return int(options.action(options))


def _list(options: argparse.Namespace) -> int:
    from gpt4all import GPT4All

    if options.model_path is not None and not os.path.isdir(options.model_path):
        raise UsageError(f"--model-path {options.model_path} is not an existing directory")
    rows = [describe(model["path"], model) for model in GPT4All.list_local_models(options.model_path)]
    if options.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return DONE
    if not rows:
        say("there are no models here; gpt4all models search shows some, gpt4all models download MODEL fetches one")
        return DONE
    shown = [
        (
            row["model_name"],
            size_text(row["size"]),
            row.get("quantisation") or "?",
            memory_text(row.get("memory_needed")),
            row.get("error") or row["kind"] + {True: ", fits", False: ", too large", None: ""}[row["fits"]],
        )
        for row in rows
    ]
    _print_table(("MODEL", "SIZE", "TYPE", "MEMORY", ""), shown)
    return DONE


def _search(options: argparse.Namespace) -> int:
    from gpt4all import GPT4All
    from gpt4all.machine.main_memory import free_memory

    free = free_memory()
    try:
        found = GPT4All.search_models(" ".join(options.words), max_memory=free if options.fits else None)
    except OSError as error:  # the network's errors are among them
        raise CommandError(
            f"the catalogue cannot be had: {text_of(error)}; gpt4all models list shows what is here"
        ) from None
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return DONE
    rows = []
    for entry in found:
        needed = _needed(entry)
        fits = "" if needed is None or free is None else "fits" if needed <= free else "too large"
        size = entry.get("filesize")
        rows.append((entry["filename"], size_text(int(size)) if size else "?", memory_text(needed), fits))
    if not rows:
        say("no model of the catalogue matches; gpt4all models search shows all")
        return DONE
    _print_table(("MODEL", "SIZE", "MEMORY", ""), rows)
    return DONE


def _needed(entry: dict[str, Any]) -> int | None:
    try:
        return int(float(entry["ramrequired"]) * (1 << 30))
    except (KeyError, TypeError, ValueError):
        return None


def _download(options: argparse.Namespace) -> int:
    from gpt4all import GPT4All

    print(GPT4All.retrieve_model(options.model, options.model_path)["path"])
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from gpt4all import GPT4All

    path = GPT4All.verify_model(
        options.model,
        options.model_path,
        expected_md5=options.md5,
        expected_sha256=options.sha256,
        verbose=sys.stderr.isatty(),
    )
    print(f"{path} is as it should be")
    return DONE


def _delete(options: argparse.Namespace) -> int:
    from gpt4all import GPT4All

    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError("deleting without a terminal to ask in needs --yes")
        if input(f"delete {options.model}? [y/N] ").strip().lower() not in ("y", "yes"):
            return DONE
    for path in GPT4All.delete_model(options.model, options.model_path):
        print(f"deleted {path}")
    return DONE


def _info(options: argparse.Namespace) -> int:
    from gpt4all import GPT4All

    config = GPT4All.retrieve_model(options.model, options.model_path, allow_download=False)
    facts = describe(config["path"], None, n_ctx=options.n_ctx, strict=True)
    if options.json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return DONE
    for key, value in facts.items():
        if key == "chat_template" and value:
            value = f"{len(value)} characters (--json shows it)"
        elif key in ("size", "memory_needed", "memory_free") and value is not None:
            value = f"{size_text(value)} ({value} bytes)"
        shown = (
            {True: "yes", False: "no", None: "not told"}.get(value, value)
            if not isinstance(value, int | str) or (isinstance(value, bool))
            else value
        )
        print(f"{key.replace('_', ' '):15} {shown}")
    return DONE


def _print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
