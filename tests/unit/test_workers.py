"""A model's thread and the line of jobs before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from gpt4all.engine import at_exit, workers
from gpt4all.engine.workers import Call, Worker
from tests.support.fake.helpers import Task, wait_until


class Held(Call):
    """Says when it has begun and ends when it is let go or cancelled."""

    def __init__(self) -> None:
        super().__init__(self._hold)
        self.begun = threading.Event()
        self.go = threading.Event()
        self.told = 0

    def _hold(self) -> None:
        self.begun.set()
        assert self.go.wait(30)

    def cancel(self) -> None:
        super().cancel()
        self.go.set()

    def others_wait(self) -> None:
        self.told += 1


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    made.start()
    yield made
    made.end()
    assert made.join(30)
    assert id(made) not in at_exit.workers


def begun(worker: Worker) -> Held:
    job = Held()
    worker.submit(job)
    assert job.begun.wait(30)
    return job


def nothing() -> None:
    pass


def test_jobs_are_done_in_the_order_they_came(worker: Worker) -> None:
    first, order = begun(worker), list[int]()
    jobs = [Call(partial(order.append, number)) for number in range(16)]
    for job in jobs:
        worker.submit(job)
    assert order == []
    first.go.set()
    for job in jobs:
        job.wait()
    assert order == list(range(16))
    assert not worker._line


def test_one_at_a_time(worker: Worker) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    def submit() -> None:
        for _ in range(100):
            job = Call(work)
            worker.submit(job)
            job.wait()

    for task in [Task(submit) for _ in range(8)]:
        task.result()
    assert most == 1
    assert not worker._line


def test_an_error_is_raised_where_it_is_waited_for(worker: Worker) -> None:
    def fail() -> None:
        raise KeyError("own")

    job = Call(fail)
    worker.submit(job)
    with pytest.raises(KeyError, match="own"):
        job.wait()
    job = Call(nothing)
    worker.submit(job)
    job.wait()


def test_the_job_under_way_learns_that_others_wait(worker: Worker) -> None:
    first, second = begun(worker), Held()
    assert first.told == 0
    worker.submit(second)
    assert (first.told, second.told) == (1, 0)
    third = Call(nothing)
    worker.submit(third)
    assert (first.told, second.told) == (2, 0)
    # It learns of those behind it, though they came before it began.
    first.go.set()
    assert second.begun.wait(30)
    assert second.told == 1
    second.go.set()
    third.wait()


def test_a_job_that_is_left_before_it_begins_is_never_done(worker: Worker) -> None:
    first, done = begun(worker), list[int]()
    left, other = Call(partial(done.append, 1)), Call(partial(done.append, 2))
    worker.submit(left)
    worker.submit(other)
    left.leave()
    assert left.has_ended()
    first.go.set()
    other.wait()
    assert done == [2]


def test_a_job_that_is_left_is_cancelled_and_the_next_waits_for_its_end(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(Held):
        def cancel(self) -> None:
            pass

    monkeypatch.setattr(workers, "LEAVE_PATIENCE", 0.01)
    deaf = Deaf()
    worker.submit(deaf)
    assert deaf.begun.wait(30)
    # The caller gets away, the job keeps its place.
    deaf.leave()
    assert worker._line[0] is deaf
    next_one = Call(nothing)
    worker.submit(next_one)
    assert not next_one.has_ended()
    deaf.go.set()
    next_one.wait()
    held = begun(worker)
    held.leave()
    assert held.has_ended()


@pytest.mark.parametrize("leave", [Call.leave, Call.drop])
def test_leaving_where_there_is_nothing_to_leave(worker: Worker, leave: Callable[[Call], object]) -> None:
    never = Call(nothing)
    leave(never)
    job = Call(nothing)
    worker.submit(job)
    job.wait()
    leave(job)
    leave(job)


def test_an_interrupt_between_the_line_and_the_bell_holds_up_nobody(worker: Worker) -> None:
    """The next bell is for all who stand in line."""
    done: list[int] = []
    silent = Call(partial(done.append, 1))
    silent._worker = worker
    worker._line.append(silent)
    job = Call(partial(done.append, 2))
    worker.submit(job)
    job.wait()
    assert done == [1, 2]


def test_a_job_that_comes_too_late() -> None:
    worker = Worker()
    worker.start()
    worker.end()
    assert worker.join(30)
    job = Call(nothing)
    worker.submit(job)
    with pytest.raises(ValueError, match="closed"):
        job.wait()
    assert worker.is_over()


def test_jobs_before_the_end_are_done(worker: Worker) -> None:
    first, done = begun(worker), list[int]()
    worker.end()
    job = Call(partial(done.append, 1))
    worker.submit(job)
    first.go.set()
    job.wait()
    assert done == [1]


def test_a_thread_knows_what_waits_for_it(worker: Worker) -> None:
    inside: list[bool] = []
    job = Call(lambda: inside.append(worker.waits_for_this_thread()))
    worker.submit(job)
    job.wait()
    assert inside == [True]
    assert not worker.waits_for_this_thread()


def test_a_finalizer_may_leave_in_the_middle_of_anything(worker: Worker) -> None:
    """Garbage collection may end another job while this thread is inside the line."""
    first, left = begun(worker), Held()

    class Watched(Held):
        def others_wait(self) -> None:
            Task(left.leave).result()

    watched = Watched()
    worker.submit(watched)
    worker.submit(left)
    first.go.set()
    assert watched.begun.wait(30)
    mine = Call(nothing)
    worker.submit(mine)
    assert left.has_ended()
    watched.go.set()
    mine.wait()


def test_a_worker_nobody_ends_holds_no_job() -> None:
    worker = Worker()
    worker.start()
    job = Call(nothing)
    worker.submit(job)
    job.wait()
    assert not hasattr(job, "_function")
    worker.end()
    wait_until(worker.is_over)


class Side(Held):
    """One that others may be under way beside."""

    is_parallel = True


def test_all_threads_go_on_after_what_had_the_model_to_itself() -> None:
    worker = Worker()
    worker.start(4)
    alone = begun(worker)
    jobs = [Side() for _ in range(4)]
    for job in jobs:
        worker.submit(job)
    # The threads have looked, and found nothing that may begin.
    wait_until(worker._bell.empty)
    alone.go.set()
    assert [job.begun.wait(5) for job in jobs] == [True] * 4
    for job in jobs:
        job.go.set()
    worker.end()
    assert worker.join(30)
