"""Functions called on a thread or an event loop, one after the other."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

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
    """Awaits async functions, and makes each other call on a thread of its own."""
    import asyncio

    try:
        todo = next(steps)
        while True:
            try:
                is_async = _is_async(todo)
                value = todo() if is_async else _outcome(await asyncio.wrap_future(_on_a_thread(todo)))
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

    async def wait() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    # In a coroutine that calls generate() and not agenerate(): its loop stands still meanwhile.
    return _outcome(_on_a_thread(lambda: asyncio.run(wait())).result())


def _on_a_thread(todo: Callable[[], Any]) -> Future[tuple[Any, BaseException | None]]:
    """Calls it; gives what it returns, and what it raises instead, which no future takes where it is a StopIteration.

    The pools of asyncio and concurrent.futures wait for their threads when they end, and a function that hangs
    would keep a program for ever that Ctrl-C was to end.
    """
    from concurrent.futures import Future

    future: Future[tuple[Any, BaseException | None]] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def call() -> None:
        try:
            future.set_result((context.run(todo), None))
        except BaseException as error:
            future.set_result((None, error))

    threading.Thread(target=call, name="gpt4all-tool", daemon=True).start()
    return future


def _outcome(of_thread: tuple[Any, BaseException | None]) -> Any:
    value, error = of_thread
    if error is not None:
        raise error
    return value
