"""What the server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEFAULT_PORT = 4891  # that of the GPT4All application


@dataclass(frozen=True)
class Settings:
    """Everything that can be set; the command line says what each is.

    Attributes:
        load: keyword arguments of ``GPT4All`` for every model.
        queue: requests that may wait for each model, beside those that are computed.
        max_memory: bytes that all loaded models may take together; ``None`` is what the machine has.
        unload_after: seconds after which a model that nobody uses is unloaded; 0 is never.
        timeout: seconds that a request may take, its time in the queue included.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    load: dict[str, Any] = field(default_factory=dict)
    n_parallel: int = 4
    queue: int = 64
    max_memory: int | None = None
    unload_after: float = 900
    timeout: float = 600
    grace: float = 30
    max_body: int = 16 << 20
    max_n: int = 16
    max_inputs: int = 2048
    max_connections: int = 2048
    log_requests: bool = False
