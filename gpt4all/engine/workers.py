"""A model's own threads, which do all of its native work that can take long.

How threads work together in this package:

- A model has one worker, from the start of its load until it is closed or gone. It does jobs in the order they came:
  the load, generations, embeddings, freeing. No call starts a thread: the worker has one, or as many as generations are
  computed together. Those of one conversation come one after the other, and everything else has the model to itself.
- Callers put a job in the line and wait in Python for what it says, so Ctrl-C, which a native call would hold up and a
  callback of ctypes would lose, always reaches them. Callbacks that belong to the caller's thread run there: the worker
  asks, the caller answers.
- A caller may leave at any time. That cancels its job, or takes it out of the line. The job keeps its place until the
  engine has let go of it, and the next one waits for that; the caller waits a moment at most.
- Only tokenising and checking run on the caller's thread, beside a generation.
- Signal handlers, finalizers and other threads may come between any two instructions. So what is shared is changed by
  single steps of C (``deque``, ``SimpleQueue``, ``dict.setdefault``, ``Lock.acquire`` without waiting), and nobody
  waits for a lock that is held while Python code runs; only freeing a model waits for those who use it.
"""

from __future__ import annotations

import _thread
import contextlib
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from gpt4all.engine import at_exit
from gpt4all.engine.at_exit import end_thread_if_exiting
from gpt4all.errors import GenerationError, ModelLoadError

#: Seconds of a wait after which Python looks for signals. On Windows none ends a
#: wait; elsewhere one that comes just before the wait begins does not.
WAIT_SLICE = 0.2
#: Seconds that a caller who leaves waits for the engine, which mostly needs a token's time.
LEAVE_PATIENCE = 1.0
#: Bytes of address space for a thread's stack and what Python needs to begin one, twice over.
_THREAD_MEMORY = 32 << 20

FORKED = (
    "the model was loaded before this process was forked, and its threads stayed in the parent; "
    "load it in the child, or start workers with multiprocessing's 'spawn' method"
)
CLOSED = "the model is closed; load it again"
CLOSED_MEANWHILE = "the model was closed during this call, so the answer is not complete"

T = TypeVar("T")


def wait_for(news: SimpleQueue[T], pid: int) -> T:
    """What comes next, waited for so that Ctrl-C always gets through.

    Raises:
        GenerationError: this is a child of the process ``pid``, whose threads stayed there.
    """
    while True:
        if os.getpid() != pid:
            raise GenerationError(FORKED)
        try:
            return news.get(timeout=WAIT_SLICE)
        except Empty:
            continue


class Job:
    """Work for a model's thread, done once or never."""

    #: Whether others that are so may be under way at the same time, unless they belong to the same conversation.
    is_parallel = False
    conversation: object = None

    def __init__(self) -> None:
        self._pid = os.getpid()
        #: By whom it is decided what becomes of the job, if it is: the worker, to do it, or its caller, to withdraw it.
        self._decided: dict[str, tuple[str, object]] = {}
        self._worker: Worker | None = None
        self._ended = False
        self._left = False
        #: The thread that must answer before the job can end, if there is one.
        self._waiter: int | None = None
        #: What the worker tells the caller; ``None`` is the end.
        self._news: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[bool | BaseException] = SimpleQueue()
        self._error: BaseException | None = None

    # On the worker's thread

    def _work(self) -> None:
        """The work itself."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Lets go of what the work needed: a job that has ended keeps no model alive."""

    def _ask(self, question: object) -> bool:
        """Hands ``question`` to the caller and returns its answer, or ``False`` when cancelled."""
        self._news.put(question)
        answer = self._answers.get()
        if not isinstance(answer, BaseException):
            return answer
        self._error = answer
        del answer
        self._raise_error()
        return False

    def do(self) -> None:
        try:
            self._work()
        except BaseException as error:
            # Nobody would take it from a job that was left, and its traceback holds the job.
            self._error = None if self._left else error
        finally:
            self._forget()

    def report_end(self) -> None:
        self._ended = True
        self._tell(None)

    def _tell(self, news: object) -> None:
        self._news.put(news)

    # On any thread

    def claim(self, who: str = "worker") -> bool:
        """Says whether it is this one who decides: only the first may."""
        mine = (who, object())
        return self._decided.setdefault("by", mine) is mine

    def is_under_way(self) -> bool:
        return self._is_decided("worker")

    def is_withdrawn(self) -> bool:
        return self._is_decided("caller")

    def _is_decided(self, by: str) -> bool:
        decision = self._decided.get("by")
        return decision is not None and decision[0] == by

    def may_overtake(self, other: Job) -> bool:
        """Whether this job may begin while ``other``, which came before it, waits or is under way."""
        return (
            self.is_parallel
            and other.is_parallel
            and (self.conversation is None or self.conversation is not other.conversation)
        )

    def has_ended(self) -> bool:
        return self._ended

    def others_wait(self) -> None:
        """Called, possibly repeatedly, while this job is under way and another one waits."""

    def model_closes(self) -> None:
        """The model is being closed while this job is under way."""
        self.cancel()

    def refuse(self, error: BaseException) -> None:
        """The job comes too late: there is no worker any more."""
        self._error = error

    def cancel(self) -> None:
        """Asks the work to end soon, without waiting for it."""
        self._answers.put(False)

    # On the caller's thread

    def _next(self) -> Any:
        """What the worker says next, ``None`` when it has ended."""
        return wait_for(self._news, self._pid)

    def wait(self) -> None:
        """Waits for the end and raises what the work raised."""
        while self._next() is not None:
            pass
        self._raise_error()

    def drop(self) -> bool:
        """The caller goes without waiting: the work is cancelled, or never begun. Says whether it goes on."""
        worker = self._worker
        if worker is None or self._ended or os.getpid() != self._pid:
            return False
        self._left = True
        self.cancel()
        return not worker.withdraw(self) and not worker.is_current()

    def leave(self) -> None:
        """As ``drop``, but waits a moment for the end."""
        if not self.drop():
            return
        deadline = time.monotonic() + LEAVE_PATIENCE
        while not self._ended and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(Empty):
                self._news.get(timeout=min(left, WAIT_SLICE))
        self._error = None

    def _raise_error(self) -> None:
        """Raises what ended the work, if anything did."""
        error, self._error = self._error, None
        if error is not None:
            end_thread_if_exiting()
            try:
                raise error
            finally:
                # The traceback holds this frame; without this, a cycle.
                del error


class Call(Job):
    """A short native call without questions."""

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self._function = function

    def _work(self) -> None:
        self._function()

    def _forget(self) -> None:
        del self._function


class Worker:
    """A model's threads, as many as there may be generations at once, and the line of jobs before them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._line: deque[Job] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._over = False
        self._threads: list[threading.Thread] = []
        #: Threads that have begun and not ended.
        self._at_work: deque[None] = deque()

    def start(self, n_threads: int = 1) -> None:
        """Starts threads until there are so many.

        Raises:
            ModelLoadError: there can be no more threads.
        """
        end_thread_if_exiting()
        for _ in range(n_threads - len(self._threads)):
            try:
                # A thread that finds no memory for its first step dies without a word, and Thread.start() waits for
                # ever.
                mmap.mmap(-1, _THREAD_MEMORY).close()
            except OSError as error:
                raise _no_thread(error) from None
            # A daemon, because a forgotten stream must not keep the interpreter alive; at_exit ends it.
            thread = threading.Thread(target=self._main, name="GPT4All worker", daemon=True)
            self._threads.append(thread)
            try:
                # One step of C. Thread.start() waits, and Ctrl-C in that wait leaves its locks in disorder.
                _thread.start_new_thread(self._start, (thread,))
            except RuntimeError as error:
                self._threads.remove(thread)
                raise _no_thread(error) from None

    def n_threads(self) -> int:
        """How many have been started."""
        return len(self._threads)

    def submit(self, job: Job) -> None:
        """Puts ``job`` at the end of the line."""
        job._worker = self
        try:
            self._line.append(job)
        finally:
            # Also when Ctrl-C comes between the two.
            self._bell.put(True)
        self._press()
        if self._over:
            self._refuse_rest(ValueError(CLOSED))

    def _press(self) -> None:
        """Tells jobs under way that others wait for them."""
        under_way = self.under_way()
        waiting = [job for job in list(self._line) if not job.is_under_way()]
        is_full = len(under_way) >= len(self._threads)
        for job in under_way:
            if [other for other in waiting if is_full or not other.may_overtake(job)]:
                job.others_wait()

    def withdraw(self, job: Job) -> bool:
        """Takes a job out of the line that has not begun; says whether it was one."""
        if not job.claim("caller"):
            return False
        try:
            self._remove(job)
            job.report_end()
        finally:
            if len(self._threads) > 1:
                # What had to wait for it may be for a thread that sleeps.
                self._bell.put(True)
        return True

    def under_way(self) -> list[Job]:
        """The jobs that have begun."""
        return [job for job in list(self._line) if job.is_under_way()]

    def waits_for_this_thread(self) -> bool:
        """Whether a job cannot end before the calling code returns."""
        return self.is_current() or threading.get_ident() in [job._waiter for job in list(self._line)]

    def is_current(self) -> bool:
        return threading.get_ident() in [thread.ident for thread in self._threads]

    def is_over(self) -> bool:
        return self._over

    def end(self) -> None:
        """Ends the threads once the line is empty, without waiting for it; callable from finalizers."""
        for _ in self._threads:
            self._bell.put(False)

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the end of the threads; returns whether it came."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _start(self, thread: threading.Thread) -> None:
        # Not where it is asked for: Ctrl-C may come before this.
        self._at_work.append(None)
        try:
            thread.start()
        except BaseException as error:
            self._threads.remove(thread)
            self._leave(_no_thread(error))

    def _main(self) -> None:
        # Before the exit lists them, or it has said that it did.
        at_exit.workers[id(self)] = self
        while not at_exit.exiting and self._bell.get():
            while (job := self._take()) is not None:
                self._do(job)
        self._leave(ValueError(CLOSED))

    def _take(self) -> Job | None:
        """Claims the first job that may begin. What may, still may when others have come or gone meanwhile."""
        before: list[Job] = []
        for job in list(self._line):
            if not job.is_under_way() and all(job.may_overtake(other) for other in before) and job.claim():
                return job
            if job.is_withdrawn():
                # By somebody who may have been interrupted in the middle of it.
                self._remove(job)
                job.report_end()
            else:
                before.append(job)
        return None

    def _do(self, job: Job) -> None:
        if len(self._threads) > 1 and any(not other.is_under_way() for other in list(self._line)):
            # What may begin beside it may be for a thread that sleeps, which wakes the next one likewise.
            self._bell.put(True)
        self._press()
        job.do()
        self._remove(job)
        job.report_end()

    def _leave(self, refusal: BaseException) -> None:
        """A thread's last step."""
        self._at_work.pop()
        if self._at_work:
            return
        self._over = True
        self._refuse_rest(refusal)
        at_exit.workers.pop(id(self), None)

    def _refuse_rest(self, error: BaseException) -> None:
        for job in list(self._line):
            if job.claim():
                job.refuse(error)
                self._remove(job)
                job.report_end()

    def _remove(self, job: Job) -> None:
        with contextlib.suppress(ValueError):
            self._line.remove(job)


def _no_thread(error: BaseException) -> ModelLoadError:
    return ModelLoadError(
        f"no thread could be started for the model ({error}); the limits on threads and memory of this process, its "
        "user or its container (ulimit -u, ulimit -v, pids.max) leave no room for one more"
    )


def interrupt_again() -> None:
    """For a Ctrl-C that met code out of which nothing can be raised: it comes again a moment later."""
    _thread.start_new_thread(_thread.interrupt_main, ())
