"""Which GPUs a backend can use, asked in a child process: drivers crash and hang.

The child (``gpt4all._native.drivers.report``) tells what the engine lists and
what the driver lists; ``combine`` makes one list of both.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from gpt4all.devices import probe_process
from gpt4all.devices.gpu import Gpu, Probe
from gpt4all.errors import BackendLoadError

#: Lets software devices, such as Mesa's llvmpipe, pass for GPUs.
SOFTWARE_VARIABLE = "GPT4ALL_ALLOW_SOFTWARE_GPU"

_PCI_VENDORS = {
    0x1002: "amd",
    0x1010: "imagination",
    0x1022: "amd",
    0x106B: "apple",
    0x10DE: "nvidia",
    0x13B5: "arm",
    0x1414: "microsoft",
    0x5143: "qualcomm",
    0x8086: "intel",
    0x10005: "mesa",
}


_answers: dict[str, Probe] = {}
# An RLock, as a signal handler may ask too.
_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # The thread that holds it stays in the parent. What it found so far is as true in the child.
    os.register_at_fork(after_in_child=_renew_lock)


def probe(backend: str) -> Probe:
    """Asks about the GPUs of ``backend``.

    GPUs that were found, and drivers that failed, stay as they are: the answer
    is kept for this process. What is missing may be installed any moment.
    """
    return probe_all([backend])[0]


def probe_all(backends: Sequence[str]) -> list[Probe]:
    """``probe`` of each, side by side: a driver may take long."""
    with _lock, ExitStack() as children:
        answers: dict[str, Probe] = {}
        waiting: dict[str, Callable[[], Mapping[str, Any]]] = {}
        for backend in backends:
            if (known := _known(backend)) is not None:
                answers[backend] = known
                continue
            try:
                waiting[backend] = children.enter_context(probe_process.ask(backend))
            except probe_process.CannotAskError as error:
                answers[backend] = Probe(backend, problem=str(error))
        for backend, report in waiting.items():
            answers[backend] = _answer(backend, report)
        return [answers[backend] for backend in backends]


def reports(backends: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What ``gpt4all._native.drivers.report`` tells of each now, asked side by side.

    ``{"load_error": …}`` for those of which there is nothing to tell. The cpu backend has no drivers: where no child
    can be started, it is asked here.
    """
    answers: dict[str, Mapping[str, Any]] = {}
    with ExitStack() as children:
        waiting = {}
        for backend in backends:
            try:
                if (missing := _missing_library(backend)) is not None:
                    answers[backend] = {"load_error": missing}
                else:
                    waiting[backend] = children.enter_context(probe_process.ask(backend))
            except probe_process.CannotAskError as error:
                answers[backend] = _asked_here(backend) if backend == "cpu" else {"load_error": str(error)}
        for backend, report in waiting.items():
            try:
                answers[backend] = report()
            except probe_process.DriverFailureError as error:
                answers[backend] = {"load_error": str(error)}
    return {backend: answers[backend] for backend in backends}


def _asked_here(backend: str) -> Mapping[str, Any]:
    from gpt4all._native.drivers.report import report

    return report(backend)


def _known(backend: str) -> Probe | None:
    """What can be told without asking."""
    if (answer := _answers.get(backend)) is not None:
        return answer
    missing = _missing_library(backend)
    return None if missing is None else Probe(backend, load_error=missing)


def _answer(backend: str, report: Callable[[], Mapping[str, Any]]) -> Probe:
    try:
        answer = combine(backend, report())
    except probe_process.DriverFailureError as error:
        answer = _answers[backend] = Probe(backend, problem=str(error))
    if answer.usable:
        _answers[backend] = answer
    return answer


def _missing_library(backend: str) -> str | None:
    """The loader's message where there is nothing to load."""
    from gpt4all._native import loader

    if any(os.path.isfile(candidate.path) for candidate in loader.candidates(backend)):
        return None
    try:
        loader.load(backend)
    except BackendLoadError as error:
        return str(error)
    # Installed in the very moment.
    return None


def combine(backend: str, report: Mapping[str, Any]) -> Probe:
    """One list out of the engine's and the driver's."""
    if (load_error := report.get("load_error")) is not None:
        return Probe(backend, load_error=load_error)
    driver: Mapping[str, Any] = report["driver"]
    unmatched = list(driver["devices"])
    gpus: list[Gpu] = []
    names: Counter[str] = Counter()
    for device in report["devices"]:
        if device["type"] == "cpu":
            continue
        facts = _take_match(device, unmatched)
        index = sum(gpu.unusable is None for gpu in gpus)
        gpus.append(_gpu(backend, device, facts, index=index, name=_numbered(device["description"], names)))
    gpus += [_unused(backend, facts, _numbered(facts["name"], names)) for facts in unmatched]
    return Probe(backend, tuple(gpus), problem=driver["error"])


def _take_match(device: Mapping[str, Any], unmatched: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the driver says of the engine's device: at the same place on the bus, or where one doesn't tell, by name."""

    def at_the_same_place(facts: Mapping[str, Any]) -> bool:
        return bool(device["id"]) and facts["id"] == device["id"]

    def of_the_same_name(facts: Mapping[str, Any]) -> bool:
        return facts["name"] == device["description"] and not (device["id"] and facts["id"])

    for is_it in (at_the_same_place, of_the_same_name):
        for position, facts in enumerate(unmatched):
            if is_it(facts):
                return unmatched.pop(position)
    return {}


def _gpu(backend: str, device: Mapping[str, Any], facts: Mapping[str, Any], *, index: int, name: str) -> Gpu:
    kind = facts.get("type") or {"gpu": "discrete"}.get(device["type"], device["type"])
    # The engine leaves them out by itself, unless an environment variable of its own names them.
    refused = kind == "software" and not software_allowed()
    return Gpu(
        backend=backend,
        name=name,
        index=None if refused else index,
        engine_index=device["index"],
        vendor=_PCI_VENDORS.get(facts.get("vendor_id", 0), ""),
        type=kind,
        memory_total=device["memory_total"],
        memory_free=device["memory_free"],
        driver=facts.get("driver", ""),
        api_version=facts.get("api_version", ""),
        id=device["id"],
        unusable=_SOFTWARE if refused else None,
    )


_SOFTWARE = f"it is a program that plays a GPU on the CPU; {SOFTWARE_VARIABLE}=1 allows it, for tests"


def _unused(backend: str, facts: Mapping[str, Any], name: str) -> Gpu:
    if facts["type"] == "software":
        why = _SOFTWARE
    else:
        why = "the engine does not use it: it lacks a feature, is hidden, or another driver serves it better"
    return Gpu(
        backend=backend,
        name=name,
        index=None,
        vendor=_PCI_VENDORS.get(facts["vendor_id"], ""),
        type=facts["type"],
        memory_total=facts["memory_total"],
        memory_free=facts["memory_free"],
        driver=facts["driver"],
        api_version=facts["api_version"],
        id=facts["id"],
        unusable=why,
    )


def _numbered(name: str, names: Counter[str]) -> str:
    names[name] += 1
    return name if names[name] == 1 else f"{name} ({names[name]})"


def software_allowed() -> bool:
    return os.environ.get(SOFTWARE_VARIABLE) == "1"
