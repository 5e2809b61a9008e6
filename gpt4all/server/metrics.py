"""Counters in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gpt4all._native.outcome import Outcome

if TYPE_CHECKING:
    from gpt4all.server.pool import ModelPool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What has happened since the server was started."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.in_flight = 0
        self._totals: Counter[str] = Counter()
        self._seconds = {"prompt_seconds": 0.0, "completion_seconds": 0.0}

    def add_generation(self, outcome: Outcome) -> None:
        self._totals["generations"] += 1
        self._totals["prompt_tokens"] += outcome.prompt_tokens
        self._totals["cached_prompt_tokens"] += outcome.cached_tokens
        self._totals["completion_tokens"] += outcome.completion_tokens
        self._seconds["prompt_seconds"] += outcome.prompt_seconds
        self._seconds["completion_seconds"] += outcome.completion_seconds

    def text(self, pool: ModelPool) -> str:
        lines = ["# TYPE gpt4all_requests_total counter"]
        for (path, status), count in sorted(self.requests.items()):
            lines.append(f'gpt4all_requests_total{{path="{path}",status="{status}"}} {count}')
        for name in ("generations", "prompt_tokens", "cached_prompt_tokens", "completion_tokens"):
            lines += [f"# TYPE gpt4all_{name}_total counter", f"gpt4all_{name}_total {self._totals[name]}"]
        for name, seconds in self._seconds.items():
            lines += [f"# TYPE gpt4all_{name}_total counter", f"gpt4all_{name}_total {seconds:.6f}"]
        lines += ["# TYPE gpt4all_requests_in_flight gauge", f"gpt4all_requests_in_flight {self.in_flight}"]
        for name, what in (("model_loaded", "1 where the model is in memory"), ("answers_in_progress", "or waiting")):
            lines += [f"# HELP gpt4all_{name} {what}", f"# TYPE gpt4all_{name} gauge"]
            for served in pool.models.values():
                value = int(served.model is not None) if name == "model_loaded" else served.places
                label = served.name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
                lines.append(f'gpt4all_{name}{{model="{label}"}} {value}')
        return "\n".join(lines) + "\n"
