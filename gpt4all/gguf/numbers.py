"""Refuses hyper-parameters that the engine cannot take, by the header alone.

Left to it, some end the process (a division by zero), some never end, and the
rest at best name one of its source lines. Keys that are missing or of another
type are left to the engine, which reports those, unless it does without them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpt4all.errors import InvalidModelError
from gpt4all.gguf import engine_facts as engine
from gpt4all.gguf.header import MetadataValue

POOLING_NONE, POOLING_UNSPECIFIED = 0, 0xFFFFFFFF


def check(architecture: str, metadata: Mapping[str, MetadataValue], shown: str) -> None:
    """Raise ``InvalidModelError`` for the first number that is out of its range.

    Args:
        architecture: whose ranges count.
        metadata: of the file ``shown``.
    """
    found = _Numbers(architecture, metadata, shown)
    _check_layers(found)
    _check_pooling(found)
    _check_experts(found)
    _check_divisors(found)
    _check_epsilons(found)


class _Numbers:
    """An architecture's own keys, without its name in front."""

    def __init__(self, architecture: str, metadata: Mapping[str, MetadataValue], shown: str) -> None:
        self.architecture = architecture
        self.metadata = metadata
        self._shown = shown

    def value(self, key: str) -> MetadataValue | None:
        return self.metadata.get(f"{self.architecture}.{key}")

    def all(self, key: str) -> tuple[int, ...]:
        """The key's number, or its number for each layer."""
        value = self.value(key)
        values = value if isinstance(value, tuple) else (value,)
        return tuple(item for item in values if type(item) is int)

    def largest(self, key: str) -> int | None:
        return max(self.all(key), default=None)

    def demand(self, holds: bool, key: str, rule: str) -> None:
        if not holds:
            raise InvalidModelError(
                f"{self._shown} is a damaged GGUF file: its {self.architecture}.{key} is {self.value(key)!r} and must "
                f"be {rule}. Download it again, or convert the model again"
            )


def _check_layers(found: _Numbers) -> None:
    """As llama.cpp's ``load_hparams`` asserts."""
    layers = found.largest("block_count")
    if layers is not None:
        found.demand(0 < layers <= engine.MAX_LAYERS, "block_count", f"between 1 and {engine.MAX_LAYERS}")
        drafting = found.largest("nextn_predict_layers") or 0
        found.demand(drafting <= layers, "nextn_predict_layers", f"at most {layers}, all layers")
    scaling = found.value("rope.scaling.type")
    known = not isinstance(scaling, str) or scaling in engine.ROPE_SCALING_TYPES
    found.demand(known, "rope.scaling.type", f"one of {', '.join(sorted(engine.ROPE_SCALING_TYPES))}")


def _check_pooling(found: _Numbers) -> None:
    pooling = found.largest("pooling_type")
    if pooling is None or pooling == POOLING_UNSPECIFIED:
        return
    found.demand(0 <= pooling <= engine.LAST_POOLING_TYPE, "pooling_type", f"from 0 to {engine.LAST_POOLING_TYPE}")
    pools = pooling != POOLING_NONE or found.architecture not in engine.EMBEDDING_ARCHITECTURES
    found.demand(pools, "pooling_type", "from 1: without pooling, this embedding model has no vector for a text")


def _check_experts(found: _Numbers) -> None:
    experts = found.largest("expert_count") or 0
    used, groups = found.largest("expert_used_count") or 0, found.largest("expert_group_count") or 0
    if experts <= 1 and found.architecture.startswith("hunyuan"):
        experts = used = 0
    least = min(experts, 1)
    found.demand(experts <= engine.MAX_EXPERTS, "expert_count", f"at most {engine.MAX_EXPERTS}")
    found.demand(least <= used <= experts, "expert_used_count", f"between {least} and the expert_count, {experts}")
    found.demand(groups < max(experts, 1), "expert_group_count", f"less than the expert_count, {experts}")
    if groups > 1:
        found.demand(experts % groups == 0, "expert_group_count", f"a divisor of the expert_count, {experts}")
        used_groups = found.largest("expert_group_used_count") or 0
        found.demand(0 < used_groups < groups, "expert_group_used_count", f"between 1 and {groups - 1}")
    if found.architecture in engine.EXPERT_SIZE_DIVIDES and not all(found.all("expert_feed_forward_length") or [0]):
        found.demand(min(found.all("expert_used_count"), default=0) > 0, "expert_used_count", "at least 1")


def _check_divisors(found: _Numbers) -> None:
    for key, architectures in engine.DIVISORS.items():
        if found.architecture in architectures:
            divisor = (*found.all(key), 1 if key in engine.DEFAULTED_DIVISORS else 0)[0]
            found.demand(divisor > 0, key, "at least 1")
    for key, most in engine.MOST_ROUNDS.items():
        found.demand((found.largest(key) or 0) <= most, key, f"at most {most}")
    if found.architecture in engine.DIVISORS["wkv.head_size"]:
        width = found.largest("embedding_length") or 0
        found.demand((found.largest("wkv.head_size") or 0) <= width, "wkv.head_size", f"at most {width}, the width")


def _check_epsilons(found: _Numbers) -> None:
    for key, value in found.metadata.items():
        if key.startswith(f"{found.architecture}.") and key.endswith("epsilon") and isinstance(value, float):
            found.demand(value >= 0, key.removeprefix(f"{found.architecture}."), "0 or more")
