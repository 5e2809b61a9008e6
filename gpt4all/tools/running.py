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


#: What a function returned, and what it raised instead.
Ending = tuple[Any, "BaseException | None"]


def carry_out(steps: Steps) -> bool:
    """Makes the calls on this thread; async functions have an event loop of their own."""
    try:
        todo = next(steps)
        while True:
            todo = _go_on(steps, *_tried(functools.partial(_waited_for, todo)))
    except StopIteration as end:
        return bool(end.value)


async def carry_out_async(steps: Steps) -> bool:
    """Awaits async functions, and makes each other call on a thread of its own."""
    try:
        todo = next(steps)
        while True:
            todo = _go_on(steps, *await _awaited(todo))
    except StopIteration as end:
        return bool(end.value)


def _go_on(steps: Steps, value: Any, error: BaseException | None) -> Callable[[], Any]:
    if error is None:
        return steps.send(value)
    try:
        return steps.throw(error)
    finally:
        del error  # whose traceback holds this frame from now on


def _tried(todo: Callable[[], Any]) -> Ending:
    try:
        return todo(), None
    except BaseException as error:
        return None, error


async def _awaited(todo: Callable[[], Any]) -> Ending:
    import asyncio

    try:
        value = todo() if _is_async(todo) else _outcome(await asyncio.wrap_future(_on_a_thread(todo)))
        return await value if inspect.isawaitable(value) else value, None
    except BaseException as error:
        return None, error


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


def _on_a_thread(todo: Callable[[], Any]) -> Future[Ending]:
    """Calls it; gives what it returns, and what it raises instead, which no future takes where it is a StopIteration.

    The pools of asyncio and concurrent.futures wait for their threads when they end, and a function that hangs
    would keep a program for ever that Ctrl-C was to end.
    """
    from concurrent.futures import Future

    future: Future[Ending] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def call() -> None:
        future.set_result(_tried(functools.partial(context.run, todo)))

    threading.Thread(target=call, name="gpt4all-tool", daemon=True).start()
    return future


def _outcome(ending: Ending) -> Any:
    value, error = ending
    if error is not None:
        raise error
    return value
