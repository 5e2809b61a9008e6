"""Which models are loaded, with a clock that the test holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpt4all.server.failures import ApiError
from gpt4all.server.pool import ModelPool, find_models
from gpt4all.server.settings import Settings

pytestmark = pytest.mark.model


@pytest.fixture
def pool(smollm2_file: Path) -> ModelPool:
    settings = Settings(load={"n_ctx": 256}, n_parallel=1, queue=1, unload_after=60)
    return ModelPool(find_models([str(smollm2_file)], settings), settings)


def test_a_model_is_loaded_once_and_unloaded_when_it_is_idle(pool: ModelPool) -> None:
    async def run() -> None:
        (served,) = pool.models.values()
        async with pool.lease(served) as one, pool.lease(served) as other:
            assert one is other
            await pool.unload_idle(served.last_used + 1000)
            assert served.model is one
        await pool.unload_idle(served.last_used + 59)
        assert served.model is one
        await pool.unload_idle(served.last_used + 60)
        assert served.model is None
        async with pool.lease(served) as again:
            assert again is not one
        await pool.close()

    asyncio.run(run())


def test_a_request_that_leaves_while_a_model_loads_leaves_it_to_the_others(pool: ModelPool) -> None:
    async def run() -> None:
        (served,) = pool.models.values()

        async def use() -> object:
            async with pool.lease(served) as model:
                return model

        leaving, staying = asyncio.create_task(use()), asyncio.create_task(use())
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying is served.model
        assert served.places == 0
        await pool.close()
        assert served.model is None

    asyncio.run(run())


def test_a_full_queue_refuses(pool: ModelPool) -> None:
    async def run() -> None:
        (served,) = pool.models.values()
        async with pool.lease(served), pool.lease(served):
            with pytest.raises(ApiError) as caught:
                async with pool.lease(served):
                    pass
            assert (caught.value.status, caught.value.retry_after) == (429, 3)
        await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize("name", ["SmolLM2-135M-Instruct.Q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf", None])
def test_names(pool: ModelPool, name: str | None, smollm2_file: Path) -> None:
    assert pool.find(name).name == smollm2_file.stem


def test_what_is_no_name(pool: ModelPool) -> None:
    with pytest.raises(ApiError, match="there is no model 'gpt-4o' here; there are: SmolLM2"):
        pool.find("gpt-4o")
    with pytest.raises(ApiError, match="must be a string"):
        pool.find(["x"])
