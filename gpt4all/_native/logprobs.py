"""Log-probabilities as they come from a backend, in the shape of OpenAI's chat completions."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from gpt4all._native import abi
from gpt4all._native.outcome import TokenLogprob, TopLogprob


def collector(content: list[TokenLogprob], failed: Callable[[BaseException], None]) -> Any:
    """A native callback that adds each token to ``content``; ``failed`` gets what it raises."""

    def on_logprobs(chosen: Any, top: Any, n_top: int, payload: int | None) -> int:
        try:
            entry = _entry(chosen[0])
            alternatives = [_entry(top[index]) for index in range(n_top)]
            content.append({**entry, "top_logprobs": alternatives})
            return 0
        except BaseException as error:
            failed(error)
            return 1

    return abi.LogprobsCallback(on_logprobs)


def _entry(raw: abi.TokenLogprob) -> TopLogprob:
    data = ctypes.string_at(raw.text, raw.text_len) if raw.text_len else b""
    return {"token": data.decode("utf-8", "replace"), "logprob": raw.logprob, "bytes": list(data)}
