"""One call of ``generate``: prepared, in the line, its text or pieces, cut short or not, and its outcome.

All that can be wrong with the arguments is found when it is prepared, on the caller's thread and without waiting. The
prompt is made when nothing is before the call any more, from the history as it is then.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Generator
from typing import Any

from gpt4all._native.backend import CancelFlag, Outcome
from gpt4all.chat.history import ChatSession
from gpt4all.chat.messages import Message
from gpt4all.checks import check_callback, check_flag
from gpt4all.engine.loaded_model import LoadedModel
from gpt4all.engine.runs import Output, Run
from gpt4all.engine.workers import interrupt_again
from gpt4all.generation.exchange import ChatExchange, Exchange, PromptExchange
from gpt4all.options import (
    GenerationOptions,
    ReasoningCallback,
    ResponseCallback,
    empty_response_callback,
)


class Call:
    """A call whose arguments are fine.

    Attributes:
        exchange: what it sends and keeps.
        outcome: how it ended; ``None`` before, and where it ended with an error.
    """

    def __init__(
        self,
        model: LoadedModel,
        exchange: Exchange,
        callback: ResponseCallback | None,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.exchange = exchange
        self.outcome: Outcome | None = None
        self._model = model
        self._callback = callback
        self._on_outcome = on_outcome
        # In the caller's context: callbacks and a subclass's formatting see the session that they belong to.
        self._context = contextvars.copy_context()

    @classmethod
    def prepare(
        cls,
        model: LoadedModel,
        chat: ChatSession | None,
        format_message: Callable[[list[Message], str], str] | None,
        on_outcome: Callable[[Outcome], None],
        prompt: str | list[Message],
        *,
        callback: ResponseCallback = empty_response_callback,
        reasoning_callback: ReasoningCallback | None = None,
        parse_special: bool = True,
        legacy_stops: bool = True,
        **arguments: Any,
    ) -> Call:
        """Checks every argument.

        Args:
            model: what generates.
            chat: the session of the call, ``None`` outside one.
            format_message: a subclass's own way to write a message of a session.
            on_outcome: called on the model's thread with the outcome, if there is one.
            prompt: a text to continue, or the messages that the call adds to the session.
            callback: and what follows: as ``gpt4all.GPT4All.generate`` takes them.
        """
        parse_special = check_flag("parse_special", parse_special)
        legacy_stops = check_flag("legacy_stops", legacy_stops) and (chat is None or chat.template.legacy)
        check_callback("callback", callback)
        if reasoning_callback is not None:
            check_callback("reasoning_callback", reasoning_callback)
        model.check_can_generate()
        options = GenerationOptions.create(legacy_stops=legacy_stops, **arguments)
        model.check_options(options)
        exchange: Exchange
        if chat is None or isinstance(prompt, str):
            exchange = PromptExchange(model, str(prompt), options, parse_special)
        else:
            exchange = ChatExchange(model, chat, prompt, options, reasoning_callback, format_message)
        # The default would cost a call per token and change nothing.
        return cls(model, exchange, None if callback is empty_response_callback else callback, on_outcome)

    def text(self) -> str:
        """Waits for the whole text."""
        run = self.new_run(streaming=False)
        try:
            self.submit(run)
            return run.text()
        except BaseException:
            # Ctrl-C, if it is no error of the run: then nothing is kept.
            self.exchange.keep(run.text_so_far())
            run.leave()
            raise

    def pieces(self) -> Generator[str, None, None]:
        """The text as it is computed."""
        seen: list[str] = []
        run = self.new_run(streaming=True)
        try:
            self.submit(run)
            while (piece := run.next_piece()) is not None:
                seen.append(piece)
                yield piece
        except GeneratorExit:
            try:
                self.exchange.keep("".join(seen))
                run.leave()
            except KeyboardInterrupt:
                # Python would lose it here if nobody called close(), but the stream was dropped.
                run.drop()
                interrupt_again()
            raise
        except BaseException:
            self.exchange.keep("".join(seen))
            run.leave()
            raise

    def new_run(self, *, streaming: bool, on_news: Callable[[], None] | None = None) -> Run:
        """The native side of the call, to be submitted once."""

        def work(output: Output, cancel: CancelFlag) -> Outcome:
            return self._context.run(self.exchange.work, output, cancel)

        return self._model.new_run(
            work,
            self._callback,
            self._finish,
            streaming=streaming,
            on_news=on_news,
            conversation=self.exchange.conversation,
        )

    def submit(self, run: Run) -> None:
        """Puts it in the line, without waiting."""
        self._model.submit(run)

    def _finish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._on_outcome(outcome)
