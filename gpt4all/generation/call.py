"""One call of ``generate``: prepared, in the line, its text or pieces, cut short or not, and its outcome.

All that can be wrong with the arguments is found when it is prepared, on the caller's thread and without waiting. The
prompt is made when nothing is before the call any more, from the history as it is then.
"""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from gpt4all._native.backend import CancelFlag, Outcome
from gpt4all.chat.history import ChatSession
from gpt4all.chat.messages import Message
from gpt4all.checks import check_callback, check_flag
from gpt4all.engine.loaded_model import LoadedModel
from gpt4all.engine.runs import Output, Run
from gpt4all.engine.workers import CLOSED_MEANWHILE, interrupt_again
from gpt4all.errors import CancellationError
from gpt4all.generation.exchange import ChatExchange, Exchange, PromptExchange
from gpt4all.notices import warn_caller
from gpt4all.options import (
    GenerationOptions,
    ReasoningCallback,
    ResponseCallback,
    empty_response_callback,
)
from gpt4all.tools.calls import ToolUse
from gpt4all.tools.running import Steps, carry_out, carry_out_async


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
        #: Of the rounds that have ended.
        self._outcomes: list[Outcome] = []
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
        tools: ToolUse | None = None,
        **arguments: Any,
    ) -> Call:
        """Checks every argument.

        Args:
            model: what generates.
            chat: the session of the call, ``None`` outside one.
            format_message: a subclass's own way to write a message of a session.
            on_outcome: called with the outcome, if there is one; mostly on the model's thread.
            prompt: a text to continue, or the messages that the call adds to the session.
            callback: and what follows: as ``gpt4all.GPT4All.generate`` takes them.
        """
        parse_special = check_flag("parse_special", parse_special)
        legacy_stops = check_flag("legacy_stops", legacy_stops) and (chat is None or chat.template.legacy)
        check_callback("callback", callback)
        if reasoning_callback is not None:
            check_callback("reasoning_callback", reasoning_callback)
        model.check_can_generate()
        if tools is not None and chat is not None and chat.template.legacy:
            raise ValueError(
                "tools need a Jinja chat template, and this conversation has one of 2.8's style; pass prompt_template= "
                "to chat_session() or new_chat()"
            )
        options = GenerationOptions.create(legacy_stops=legacy_stops, with_tools=tools is not None, **arguments)
        model.check_options(options)
        exchange: Exchange
        if chat is None or isinstance(prompt, str):
            exchange = PromptExchange(model, str(prompt), options, parse_special)
        else:
            exchange = ChatExchange(model, chat, prompt, options, reasoning_callback, format_message, tools)
        # The default would cost a call per token and change nothing.
        return cls(model, exchange, None if callback is empty_response_callback else callback, on_outcome)

    def text(self) -> str:
        """Waits for the whole text: that of the last round, where tools are called in between."""
        while True:
            run = self.new_run(streaming=False)
            try:
                self.submit(run)
                text = run.text()
                if not self.advance():
                    return text
            except BaseException:
                # Ctrl-C, if it is no error of the run: then nothing is kept.
                self.exchange.keep(run.text_so_far())
                run.leave()
                raise

    def pieces(self) -> Generator[str, None, None]:
        """The text as it is computed, of all rounds."""
        more = True
        while more:
            seen: list[str] = []
            run = self.new_run(streaming=True)
            try:
                self.submit(run)
                while (piece := run.next_piece()) is not None:
                    seen.append(piece)
                    yield piece
                more = self.advance()
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

    def advance(self) -> bool:
        """Carries out the calls of the round that has ended; says whether another one is to follow."""
        with self._answering() as steps:
            return steps is not None and self._answered(carry_out(steps))

    async def advance_async(self) -> bool:
        """The same, which never blocks the event loop."""
        with self._answering() as steps:
            return steps is not None and self._answered(await carry_out_async(steps))

    @contextmanager
    def _answering(self) -> Iterator[Steps | None]:
        """The calls to be made; what is raised meanwhile decides what stays of the turn."""
        exchange = self.exchange
        if not isinstance(exchange, ChatExchange) or exchange.tools is None or not exchange.calls:
            yield None
            return
        tools = exchange.tools
        if not tools.goes_on:
            if tools.run and self.outcome is not None and self.outcome.finish_reason == "tool_calls":
                warn_caller(
                    "the model still calls tools after the last of max_tool_rounds, so this answer is not complete; "
                    "its outcome's tool_calls has the calls"
                )
            yield None
            return
        steps = tools.answers(exchange.begin_answers(), exchange.answer)
        try:
            yield steps
        except Exception as error:
            exchange.fail(error)
            raise
        except BaseException:
            exchange.interrupt()
            raise

    def _answered(self, all_of_them: bool) -> bool:
        tools = self.exchange.tools
        assert isinstance(self.exchange, ChatExchange)
        assert tools is not None
        if all_of_them and not tools.is_over:
            return True
        self.exchange.wait()
        self._publish("cancelled" if tools.is_over else "tool_calls")
        return False

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
        try:
            self._model.submit(run)
        except ValueError:
            if not self._outcomes:
                raise
            # While a tool ran.
            raise CancellationError(CLOSED_MEANWHILE) from None

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        tools = self.exchange.tools
        if tools is None or not tools.goes_on or not self.exchange.calls:
            self._publish(outcome.finish_reason)

    def _publish(self, finish_reason: str) -> None:
        """Tells how the call ended, with what all of its rounds took."""
        outcome = self._outcomes[-1]
        tools = self.exchange.tools
        if tools is not None:
            outcome = dataclasses.replace(
                _sum(self._outcomes),
                finish_reason=finish_reason,
                tool_calls=(*(call for call in tools.done if call.error is None), *outcome.tool_calls),
                refused_calls=(*(call for call in tools.done if call.error is not None), *outcome.refused_calls),
            )
        self.outcome = outcome
        self._on_outcome(outcome)


def _sum(rounds: list[Outcome]) -> Outcome:
    """What several rounds took; the thinking is that of all of them."""
    last = rounds[-1]
    content = [token for each in rounds if each.logprobs is not None for token in each.logprobs["content"]]
    return dataclasses.replace(
        last,
        prompt_tokens=sum(each.prompt_tokens for each in rounds),
        cached_tokens=sum(each.cached_tokens for each in rounds),
        completion_tokens=sum(each.completion_tokens for each in rounds),
        context_shifts=sum(each.context_shifts for each in rounds),
        prompt_seconds=sum(each.prompt_seconds for each in rounds),
        completion_seconds=sum(each.completion_seconds for each in rounds),
        logprobs=None if last.logprobs is None else {"content": content},
    )
