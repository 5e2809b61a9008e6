"""Who may use a model now: callers take turns in the order they came.

Nothing here holds a lock around Python code. A signal handler or a finalizer
may run between any two instructions, and it may well close a stream of the
same model; it must never meet a lock that the code below it holds.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque

#: Seconds of a wait after which Python looks for signals. On Windows none ends a
#: wait; elsewhere one that comes just before the wait begins does not.
WAIT_SLICE = 0.2


class Turn:
    """A caller's place in the queue; subclasses may hurry when others wait."""

    def __init__(self) -> None:
        self._called = threading.Lock()
        self._called.acquire()
        self._thread_id = threading.get_ident()

    def others_wait(self) -> None:
        """Called, possibly repeatedly and from other threads, while this turn lasts and another caller waits."""

    def on_own_thread(self) -> bool:
        """Whether this turn cannot end before the calling code returns."""
        return threading.get_ident() == self._thread_id

    def _call(self) -> None:
        # Called already; once is enough.
        with contextlib.suppress(RuntimeError):
            self._called.release()


class TurnQueue:
    """A first-come-first-served lock whose holder learns that others wait."""

    def __init__(self) -> None:
        # Who stands first has the turn. Each operation on it is atomic.
        self._line: deque[Turn] = deque()

    def acquire(self, turn: Turn) -> None:
        """Blocks until it is ``turn``'s turn; an interrupted wait leaves the queue in order."""
        try:
            self._line.append(turn)
            first = self._line[0]
            if first is turn:
                return
            first.others_wait()
            while not turn._called.acquire(timeout=WAIT_SLICE):
                pass
        except BaseException:
            self.leave(turn)
            raise

    def leave(self, turn: Turn) -> None:
        """Ends ``turn``, or gives up its place; the next in line begins. A turn that is not in line is no error."""
        try:
            self._line.remove(turn)
        except ValueError:
            pass
        finally:
            # Also when Ctrl-C comes right after the removal. Whoever is first
            # now has the turn, so it does no harm to say so twice.
            first = self.holder()
            if first is not None:
                first._call()
                if len(self._line) > 1:
                    first.others_wait()

    def holder(self) -> Turn | None:
        try:
            return self._line[0]
        except IndexError:
            return None

    def has_own(self) -> bool:
        """Whether a turn that is under way, or waits, does so on the calling thread."""
        return any(turn.on_own_thread() for turn in list(self._line))
