"""Tells whether text can be generated here, and the facts for a bug report."""

from __future__ import annotations

import argparse
import json
from typing import Any

from gpt4all.cli.arguments import add_load_options, open_model
from gpt4all.cli.failures import DONE, FAILED, text_of
from gpt4all.cli.model_facts import memory_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.epilog = "exit status: 0 where generation works, 1 where it does not."
    parser.add_argument("model", nargs="?", metavar="MODEL", help="also load it, and generate a token")
    parser.add_argument("--json", action="store_true", help="write all facts as JSON")
    add_load_options(parser)


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    from gpt4all import system_info

    facts: dict[str, Any] = {**system_info()}
    problems = [] if any(backend.get("usable") for backend in facts["backends"].values()) else ["no backend is usable"]
    if options.model is not None:
        facts["generation"], problem = _try(options)
        problems += [problem] if problem else []
    works = not problems
    if options.json:
        print(json.dumps({**facts, "works": works, "problems": problems}, ensure_ascii=False, indent=1))
    else:
        _print(facts)
        print("\ngeneration works" if works else f"\ngeneration does not work: {'; '.join(problems)}")
    return DONE if works else FAILED


def _try(options: argparse.Namespace) -> tuple[dict[str, Any] | None, str | None]:
    from gpt4all import GPT4AllError

    try:
        with open_model(options) as model:
            model.generate("Hello", max_tokens=1)
            return {"backend": model.backend, "device": model.device, "fallback_reason": model.fallback_reason}, None
    except (GPT4AllError, OSError, ValueError) as error:
        return None, text_of(error)


def _print(facts: dict[str, Any]) -> None:
    package, python, platform = facts["gpt4all"], facts["python"], facts["platform"]
    cpu, memory, models = facts["cpu"], facts["memory"], facts["models"]
    rows = [
        ("gpt4all", f"{package.get('version')} in {package.get('path')}"),
        ("python", f"{python.get('version')} ({python.get('implementation')}), {python.get('executable')}"),
        ("system", f"{platform.get('distribution') or platform.get('system')}, {platform.get('machine')}"),
        ("processor", f"{cpu.get('name')}, variant {cpu.get('variant')}, {facts['threads'].get('default')} threads"),
        ("memory", f"{memory_text(memory.get('available'))} free of {memory_text(memory.get('total'))}"),
    ]
    for name, backend in facts["backends"].items():
        if backend.get("usable"):
            state = "works"
        elif backend.get("path"):
            state = f"does not work:{_reason(str(backend.get('error')))}"
        else:
            state = "is not installed"
        rows.append((f"backend {name}", state))
    rows += [
        ("gpu", f"{gpu['name']}{', unusable: ' + gpu['unusable'] if gpu['unusable'] else ''}") for gpu in facts["gpus"]
    ]
    rows.append(("models", f"{models.get('models')} in {models.get('path')}"))
    if facts.get("generation"):
        rows.append(("generated on", f"{facts['generation']['backend']} {facts['generation']['device'] or ''}".strip()))
    for name, value in rows:
        print(f"{name:16} {value}")


def _reason(error: str) -> str:
    """One line after a blank, or more below; not of libraries that are not there."""
    first, *more = error.splitlines()
    lines = [] if first.endswith("; tried") else [first]
    lines += [line.strip(" -") for line in more if not line.endswith(": no such file")]
    return f" {lines[0]}" if len(lines) == 1 and not more else "".join(f"\n{'':17}{line}" for line in lines)
