"""The models that are served: loaded when they are asked for, unloaded when they are not, within a limit of memory.

All of it runs on the event loop, so nothing here needs a lock but loading, which takes long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt4all import gguf
from gpt4all.embed4all import Embed4All
from gpt4all.errors import GPT4AllError, InsufficientMemoryError
from gpt4all.gpt4all import GPT4All
from gpt4all.server.failures import ApiError
from gpt4all.server.settings import Settings

logger = logging.getLogger("gpt4all.server")

Model = GPT4All | Embed4All


@dataclass
class Served:
    """A model by its name.

    Attributes:
        open: loads it; blocks.
        measure: bytes that it takes when it is loaded; blocks.
        places: answers that are computed or wait, of ``capacity``.
    """

    name: str
    embeds: bool
    created: int
    n_parallel: int
    capacity: int
    open: Callable[[], Model]
    measure: Callable[[], int]
    model: Model | None = None
    size: int = 0
    places: int = 0
    last_used: float = 0.0
    loading: asyncio.Task[Model] | None = field(default=None, repr=False)

    @property
    def generator(self) -> GPT4All:
        """The loaded model, whichever kind it is."""
        model = self.model
        assert model is not None
        return model.gpt4all if isinstance(model, Embed4All) else model


def find_models(names: Sequence[str], settings: Settings) -> dict[str, Served]:
    """The models to serve by name: those that are named, fetched where they are missing; else all that are here.

    Raises:
        FileNotFoundError, GPT4AllError: one that is named is not there, or is no model.
    """
    from gpt4all.engine.placement import check_load

    check_load({**settings.load, "n_parallel": settings.n_parallel})
    where = {key: settings.load[key] for key in ("model_path", "allow_download") if key in settings.load}
    found: dict[str, Served] = {}
    if names:
        for name in names:
            path = Path(GPT4All.retrieve_model(name, **where)["path"])
            served = _served(path, name, settings)
            found.setdefault(served.name, served)
        return found
    for entry in GPT4All.list_local_models(where.get("model_path")):
        if not entry["complete"]:
            continue
        try:
            served = _served(Path(entry["path"]), entry["path"], settings)
        except (GPT4AllError, OSError) as error:
            logger.warning("%s is not served: %s", entry["path"], error)
            continue
        found.setdefault(served.name, served)
    return found


def _served(path: Path, reference: str, settings: Settings) -> Served:
    header = gguf.preflight(path)
    # A catalogue name keeps what the catalogue knows of it, its template say.
    options = {"n_ctx": header.usual_context, **settings.load}
    if not header.is_embedding:
        options["n_parallel"] = settings.n_parallel

    def open_model() -> Model:
        return Embed4All(reference, **options) if header.is_embedding else GPT4All(reference, **options)

    def measure() -> int:
        from gpt4all.engine.placement import memory_needed

        kept = {"n_ctx", "n_threads", "ngl", "kv_type", "flash_attention", "use_mmap", "n_parallel"}
        return memory_needed(path, **{name: value for name, value in options.items() if name in kept})

    at_once = 1 if header.is_embedding else settings.n_parallel
    return Served(
        path.stem,
        header.is_embedding,
        int(path.stat().st_mtime),
        at_once,
        at_once + settings.queue,
        open_model,
        measure,
    )


class ModelPool:
    """Lends models to requests."""

    def __init__(self, models: dict[str, Served], settings: Settings) -> None:
        self.models = models
        self._settings = settings
        self._loading = asyncio.Lock()
        self._returned = asyncio.Event()

    def find(self, name: object, *, embeds: bool | None = None) -> Served:
        """The model of a request; without a name the first, of those that embed texts or do not if ``embeds`` says."""
        if name is None:
            fitting = [served for served in self.models.values() if embeds in (None, served.embeds)]
            if fitting:
                return fitting[0]
            does = "makes embeddings" if embeds else "generates text"
            raise ApiError(404, f"there is no model here that {does}", param="model", code="model_not_found")
        if not isinstance(name, str):
            raise ApiError(400, "model must be a string", param="model", code="invalid_value")
        served = self.models.get(name) or self.models.get(name.removesuffix(".gguf"))
        if served is None:
            known = ", ".join(list(self.models)[:8]) or "none"
            raise ApiError(
                404, f"there is no model {name[:100]!r} here; there are: {known}", param="model", code="model_not_found"
            )
        return served

    @contextlib.asynccontextmanager
    async def lease(self, served: Served, answers: int = 1) -> AsyncIterator[Model]:
        """The loaded model, for so many answers.

        Raises:
            ApiError: too many wait for it already.
        """
        places = min(answers, served.n_parallel)
        if served.places + places > served.capacity:
            raise ApiError(
                429,
                f"{served.name} is busy: {served.places} answers are computed or wait already",
                code="queue_full",
                retry_after=1 + served.places // served.n_parallel,
            )
        served.places += places
        try:
            yield await self._loaded(served)
        finally:
            served.places -= places
            served.last_used = time.monotonic()
            self._returned.set()

    async def _loaded(self, served: Served) -> Model:
        if served.model is not None:
            return served.model
        if served.loading is None:
            served.loading = asyncio.create_task(self._load(served))
        # Whoever leaves, the others still want it.
        return await asyncio.shield(served.loading)

    async def _load(self, served: Served) -> Model:
        try:
            async with self._loading:
                limit = self._settings.max_memory
                if limit is not None:
                    served.size = await asyncio.to_thread(served.measure)
                    await self._make_room(served, limit)
                logger.info("loading %s", served.name)
                while True:
                    try:
                        served.model = await asyncio.to_thread(served.open)
                        return served.model
                    except InsufficientMemoryError:
                        if not await self._unload_one():
                            raise
        finally:
            served.loading = None

    async def _make_room(self, served: Served, limit: int) -> None:
        if served.size > limit:
            raise ApiError(
                503,
                f"{served.name} takes {served.size >> 20} MiB, and all models together may take {limit >> 20} MiB",
                code="insufficient_memory",
            )
        while sum(other.size for other in self.models.values() if other.model is not None) + served.size > limit:
            self._returned.clear()
            if not await self._unload_one():
                await self._returned.wait()

    async def _unload_one(self) -> bool:
        """Unloads the idle model whose last use is longest ago, if there is one."""
        idle = [other for other in self.models.values() if other.model is not None and not other.places]
        if idle:
            await self._unload(min(idle, key=lambda other: other.last_used))
        return bool(idle)

    async def unload_idle(self, now: float) -> None:
        """Unloads what nobody has used for a while."""
        for served in self.models.values():
            if served.model is not None and not served.places and served.last_used + self._settings.unload_after <= now:
                await self._unload(served)

    async def _unload(self, served: Served) -> None:
        model, served.model = served.model, None
        if model is not None:
            logger.info("unloading %s", served.name)
            await asyncio.to_thread(model.close)

    async def watch(self) -> None:
        """Unloads what is idle, until it is cancelled."""
        while self._settings.unload_after:
            await asyncio.sleep(min(max(self._settings.unload_after / 10, 1), 30))
            await self.unload_idle(time.monotonic())

    async def close(self) -> None:
        """Unloads everything."""
        for served in self.models.values():
            if served.loading is not None:
                with contextlib.suppress(Exception):
                    await served.loading
            await self._unload(served)

    def describe(self, served: Served) -> dict[str, Any]:
        """A model in OpenAI's shape."""
        return {
            "id": served.name,
            "object": "model",
            "created": served.created,
            "owned_by": "local",
            # As llama.cpp's server says what one is good for.
            "capabilities": ["embedding" if served.embeds else "completion"],
        }
