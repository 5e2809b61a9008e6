"""The queue of callers: order, interrupted waits, and what the holder learns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from gpt4all.turns import Turn, TurnQueue
from tests.native_helpers import Task, wait_until


class Watched(Turn):
    """Counts how often it learned that others wait."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.told = 0
        self._then = then

    def others_wait(self) -> None:
        self.told += 1
        self._then()


def interrupt() -> None:
    raise KeyboardInterrupt


def waiting(queue: TurnQueue) -> int:
    return max(0, len(queue._line) - 1)


def test_a_free_queue_is_taken_at_once() -> None:
    queue, turn = TurnQueue(), Watched()
    assert queue.holder() is None
    queue.acquire(turn)
    assert queue.holder() is turn
    assert turn.told == 0
    queue.leave(turn)
    assert queue.holder() is None


def test_first_come_first_served() -> None:
    queue, first = TurnQueue(), Turn()
    queue.acquire(first)
    order: list[int] = []

    def take(number: int) -> None:
        turn = Turn()
        queue.acquire(turn)
        order.append(number)
        queue.leave(turn)

    tasks = []
    for number in range(16):
        tasks.append(Task(partial(take, number)))
        wait_until(lambda: waiting(queue) == len(tasks))
    queue.leave(first)
    for task in tasks:
        task.result()
    assert order == list(range(16))
    assert queue.holder() is None


def test_one_at_a_time() -> None:
    queue = TurnQueue()
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(300):
            turn = Turn()
            queue.acquire(turn)
            inside += 1
            most = max(most, inside)
            inside -= 1
            queue.leave(turn)

    tasks = [Task(work) for _ in range(8)]
    for task in tasks:
        task.result()
    assert most == 1
    assert queue.holder() is None


def test_the_holder_learns_that_others_wait() -> None:
    queue = TurnQueue()
    first, second, third = Watched(), Watched(), Watched()
    queue.acquire(first)
    waits = [Task(lambda: queue.acquire(second))]
    wait_until(lambda: first.told == 1)
    assert second.told == 0
    waits.append(Task(lambda: queue.acquire(third)))
    wait_until(lambda: first.told == 2)
    # The next holder learns of those behind it, though they came before it began.
    queue.leave(first)
    waits[0].result()
    wait_until(lambda: second.told == 1)
    queue.leave(second)
    waits[1].result()
    assert third.told == 0
    queue.leave(third)


def test_leaving_without_a_turn_is_no_error() -> None:
    queue, holder = TurnQueue(), Turn()
    queue.leave(holder)
    queue.acquire(holder)
    queue.leave(Turn())
    assert queue.holder() is holder
    queue.leave(holder)
    queue.leave(holder)
    assert queue.holder() is None


def test_an_interrupted_wait_leaves_the_queue_in_order() -> None:
    """The holder's ``others_wait`` stands for any point of the wait at which Ctrl-C may come."""
    queue, holder = TurnQueue(), Watched(interrupt)
    queue.acquire(holder)
    with pytest.raises(KeyboardInterrupt):
        queue.acquire(Turn())
    assert waiting(queue) == 0
    holder._then = lambda: None
    after = Turn()
    task = Task(lambda: queue.acquire(after))
    wait_until(lambda: waiting(queue) == 1)
    queue.leave(holder)
    task.result()
    assert queue.holder() is after


def test_an_interrupt_that_comes_with_the_turn_passes_it_on() -> None:
    queue, holder = TurnQueue(), Turn()
    queue.acquire(holder)

    class Interrupted(Turn):
        """Its wait ends with the turn and an exception at once."""

        def __init__(self) -> None:
            super().__init__()
            lock = self._called

            class Lock:
                release = staticmethod(lock.release)

                @staticmethod
                def acquire(timeout: float) -> bool:
                    lock.acquire()
                    raise KeyboardInterrupt

            self._called = Lock()  # type: ignore[assignment]

    interrupted, last = Interrupted(), Turn()
    first = Task(lambda: queue.acquire(interrupted))
    wait_until(lambda: waiting(queue) == 1)
    second = Task(lambda: queue.acquire(last))
    wait_until(lambda: waiting(queue) == 2)
    queue.leave(holder)
    with pytest.raises(KeyboardInterrupt):
        first.result()
    second.result()
    assert queue.holder() is last


def test_giving_up_a_place_in_the_middle() -> None:
    queue = TurnQueue()
    first, second, third = Turn(), Turn(), Turn()
    queue.acquire(first)
    for turn in (second, third):
        queue._line.append(turn)
    queue.leave(second)
    assert queue.holder() is first
    queue.leave(first)
    assert queue.holder() is third


def test_a_thread_knows_its_own_turns() -> None:
    queue, mine = TurnQueue(), Turn()
    assert not queue.has_own()
    queue.acquire(mine)
    assert queue.has_own()
    assert not Task(queue.has_own).result()
    other = Task(lambda: queue.acquire(Turn()))
    wait_until(lambda: waiting(queue) == 1)
    queue.leave(mine)
    other.result()
    assert not queue.has_own()


def test_a_finalizer_may_leave_in_the_middle_of_anything() -> None:
    """Garbage collection may end another turn while this thread is inside the queue."""
    queue, holder = TurnQueue(), Turn()
    queue.acquire(holder)
    # Runs inside acquire(), as a finalizer would, and waits for a thread that needs the queue too.
    watched = Watched(lambda: Task(lambda: queue.leave(holder)).result())
    queue._line.appendleft(watched)
    mine = Turn()
    task = Task(lambda: queue.acquire(mine))
    wait_until(lambda: watched.told > 0)
    queue.leave(watched)
    task.result()
    assert queue.holder() is mine
