"""``/v1/embeddings``."""

from __future__ import annotations

import asyncio
import base64
import threading
from array import array
from typing import Any

from gpt4all.embed4all import Embed4All
from gpt4all.server.failures import bad
from gpt4all.server.fields import Fields, check_text
from gpt4all.server.http import Events, Service


async def embeddings(service: Service, fields: Fields) -> dict[str, Any] | Events:
    """A vector for each text."""
    served = service.pool.find(fields.raw("model"), embeds=True)
    if not served.embeds:
        raise bad("model", f"{served.name} generates text and makes no embeddings")
    texts = _texts(fields.required("input"), service.settings.max_inputs)
    dimensions = fields.integer("dimensions", 1, 1 << 20)
    in_base64 = fields.choice("encoding_format", "float", "base64") == "base64"
    prefix = fields.text("prefix")
    stopped = threading.Event()
    async with service.pool.lease(served) as model:
        assert isinstance(model, Embed4All)

        def compute() -> Any:
            chosen = "" if prefix is None and not model.is_known else prefix
            return model.embed(
                texts,
                prefix=chosen,
                dimensionality=dimensions,
                return_dict=True,
                cancel_cb=lambda *_: stopped.is_set(),
            )

        work = asyncio.create_task(asyncio.to_thread(compute))
        try:
            found = await asyncio.wait_for(asyncio.shield(work), service.settings.timeout)
        finally:
            # The model is lent until the thread has let go of it.
            stopped.set()
            await asyncio.gather(work, return_exceptions=True)
    tokens = found["n_prompt_tokens"]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if in_base64 else vector}
            for index, vector in enumerate(found["embeddings"])
        ],
        "model": served.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _texts(value: object, most: int) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 0 < len(texts) <= most:
        raise bad("input", f"must be a string or an array of at most {most} strings")
    for index, text in enumerate(texts):
        if isinstance(text, (int, list)):
            raise bad(
                "input",
                "must be text: token ids are another vocabulary's (langchain: OpenAIEmbeddings("
                "check_embedding_ctx_length=False) sends text)",
            )
        if not check_text(f"input[{index}]", text):
            raise bad("input", f"has an empty string at index {index}")
    return texts


def _base64(vector: list[float]) -> str:
    # Little-endian, as OpenAI's clients read it, whatever this machine is.
    numbers = array("f", vector)
    if array("H", [1]).tobytes() != b"\1\0":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
