"""Functions called on a thread or an event loop, one after the other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any

#: What is to be called next; its result, or what it raises, is sent or thrown back.
Steps = Generator[Callable[[], Any], Any, bool]


def carry_out(steps: Steps) -> bool:
    """Makes the calls on this thread; async functions have an event loop of their own."""
    try:
        todo = next(steps)
        while True:
            try:
                value = _waited_for(todo)
            except BaseException as error:
                todo = steps.throw(error)
            else:
                todo = steps.send(value)
    except StopIteration as end:
        return bool(end.value)


async def carry_out_async(steps: Steps) -> bool:
    """Awaits async functions, and makes other calls on a thread of their own."""
    import asyncio

    try:
        todo = next(steps)
        while True:
            try:
                is_async = _is_async(todo)
                value = todo() if is_async else await asyncio.to_thread(todo)
                if inspect.isawaitable(value):
                    value = await value
            except BaseException as error:
                todo = steps.throw(error)
            else:
                todo = steps.send(value)
    except StopIteration as end:
        return bool(end.value)


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _waited_for(todo: Callable[[], Any]) -> Any:
    value = todo()
    if not inspect.isawaitable(value):
        return value
    import asyncio
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    async def wait() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    # In a coroutine that calls generate() and not agenerate(): its loop stands still meanwhile.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(contextvars.copy_context().run, asyncio.run, wait()).result()
