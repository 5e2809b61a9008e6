"""What a call sends, and what of it and of the answer stays in the history."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Protocol

from gpt4all._native.backend import CancelFlag, Outcome
from gpt4all._native.outcome import ToolCall
from gpt4all.chat.history import ChatSession, Conversation, Formatted
from gpt4all.chat.messages import Message
from gpt4all.chat.prompt import ChatPrompt, PromptBuilder, without_long_results
from gpt4all.engine.loaded_model import LoadedModel
from gpt4all.engine.runs import Output
from gpt4all.errors import CancellationError, ContextWindowExceededError
from gpt4all.generation.reasoning import Splitter, splitter_for
from gpt4all.options import GenerationOptions, ReasoningCallback
from gpt4all.tools.answer_reader import AnswerReader
from gpt4all.tools.calls import INTERRUPTED, ToolUse, calls_message, error_text


class Exchange(Protocol):
    """A prompt and its answer."""

    @property
    def conversation(self) -> object:
        """That it belongs to; its exchanges come one after the other. ``None`` where it stands alone."""

    def work(self, output: Output, cancel: CancelFlag) -> Outcome:
        """Generates; on the worker's thread."""

    def keep(self, seen: str) -> None:
        """The caller ends the call, having seen this much of the answer; on any thread."""

    @property
    def tools(self) -> ToolUse | None:
        """What may be called."""

    @property
    def calls(self) -> list[ToolCall]:
        """What the answer that has ended calls, to be carried out before the next one."""


class PromptExchange:
    """A call outside a session: the prompt as it is, from an empty context."""

    conversation: object = None
    tools: ToolUse | None = None

    def __init__(self, model: LoadedModel, prompt: str, options: GenerationOptions, parse_special: bool) -> None:
        self._model = model
        self._prompt = prompt
        self._options = options
        self._parse_special = parse_special
        self.calls: list[ToolCall] = []

    def work(self, output: Output, cancel: CancelFlag) -> Outcome:
        model = self._model
        tokens = model.prompt_tokens(self._prompt, parse_special=self._parse_special, cancel=cancel)
        model.check_fits(len(tokens))
        options = self._options.within(model.info.n_ctx - len(tokens))
        return model.generate(tokens, options, output.token, cancel, n_keep=1 if model.info.add_bos else 0)

    def keep(self, seen: str) -> None:
        """Nothing is kept of such a call."""


class ChatExchange:
    """What is added to a conversation, and its answer; works when the model is free.

    One rule says what stays in the history. A call that ends by itself leaves
    messages and answer. One that its caller ends (``break``, ``close()``,
    ``False``, Ctrl-C, a cancelled task) leaves the messages and the answer as
    far as the caller has seen it, if it had begun. An error leaves nothing,
    unless calls have been carried out: then messages, calls and results stay.
    Rounds of tools are parts of one turn: calls and results come between the
    messages and the answer, which is empty where the turn ended before it.

    The worker and the caller may both come to a decision. Whoever is first
    makes the entry; of an entry that is there, the caller may cut the answer.
    """

    def __init__(
        self,
        model: LoadedModel,
        chat: ChatSession,
        added: list[Message],
        options: GenerationOptions,
        reasoning_callback: ReasoningCallback | None,
        format_message: Callable[[list[Message], str], str] | None,
        tools: ToolUse | None,
    ) -> None:
        self.tools = tools
        self.calls: list[ToolCall] = []
        self._model = model
        self._chat = chat
        # The turn as far as it got.
        self._added = added
        self._options = options
        self._reasoning_callback = reasoning_callback
        self._format_message = format_message
        self._answer: list[str] = []
        self._reasoning: list[str] = []
        #: How many pieces of it the messages of earlier rounds have.
        self._told = 0
        #: Calls that are carried out now and have no result yet.
        self._unanswered: list[ToolCall] = []
        #: Whether a call was carried out.
        self._has_results = False
        self._failed = False
        self._go_on = True
        # What the exchange belongs to, once it has begun.
        self._history: Conversation | None = None
        self._left_out: int | None = None
        self._formatted: Formatted = {}
        # One entry at most, as dict.setdefault is one step; ``None`` in it: the call failed.
        self._entry: dict[str, list[Message] | None] = {}

    @property
    def conversation(self) -> object:
        return self._chat

    def work(self, output: Output, cancel: CancelFlag) -> Outcome:
        """Builds the prompt from the history as it is now and generates; on the worker's thread."""
        try:
            outcome = self._generate(output, cancel)
        except BaseException as error:
            if isinstance(error, CancellationError) and cancel.is_set():
                self._commit()
            else:
                self.fail(error)
            raise
        if self.tools is None or not self.tools.goes_on or not self.calls:
            self._commit()
        return outcome

    def keep(self, seen: str) -> None:
        if self.tools is not None:
            self.tools.is_over = True
        if self._unanswered:
            self.interrupt()
            return
        entry = self._add([{"role": "assistant", "content": seen}])
        if entry is not None and entry[-1]["role"] == "assistant" and not self._failed:
            entry[-1]["content"] = seen

    def begin_answers(self) -> list[ToolCall]:
        """The calls of the round that has ended, which are carried out now."""
        calls, self.calls = self.calls, []
        self._added = [*self._added, calls_message("".join(self._answer), calls, self._new_thinking())]
        self._answer = []
        self._unanswered = list(calls)
        return calls

    def answer(self, call: ToolCall) -> None:
        """Adds the result of a call."""
        self._added = [*self._added, call.reply(call.result or "")]
        self._has_results |= call.error is None
        self._unanswered = [other for other in self._unanswered if other.id != call.id]

    def wait(self) -> None:
        """The turn ends with calls that wait for the caller."""
        self._add([])

    def interrupt(self, reason: str = INTERRUPTED) -> None:
        """The turn ends, for that reason, while calls have no result."""
        texts = itertools.chain([reason], itertools.repeat(INTERRUPTED))
        replies = [call.reply(text) for call, text in zip(self._unanswered, texts, strict=False)]
        # Templates want an answer before the next message of the user.
        self._add([*replies, {"role": "assistant", "content": ""}])

    def fail(self, error: BaseException) -> None:
        """Nothing of the turn stays but what calls have done, which cannot be undone."""
        self._failed = True
        if not self._has_results:
            self._entry.setdefault("entry", None)
            return
        if isinstance(error, ContextWindowExceededError) and error.tool is not None:
            self._added = without_long_results(self._added)
        self.interrupt(error_text(error))

    def _commit(self) -> None:
        text = "".join(self._answer)
        waiting = [call for call in self.calls if call.error is None]
        with_calls = calls_message(text, waiting, self._new_thinking()) if waiting else None
        self._add([with_calls or {"role": "assistant", "content": text}])

    def _new_thinking(self) -> str:
        """That of the round that has ended."""
        thinking = "".join(self._reasoning[self._told :])
        self._told = len(self._reasoning)
        return thinking

    def _add(self, end: list[Message]) -> list[Message] | None:
        """The exchange's entry, made now if there is none; ``None`` if there will be none."""
        history = self._history
        if history is None:
            return None
        mine = [*self._added, *end]
        entry = self._entry.setdefault("entry", mine)
        if entry is mine:
            history.add(mine, self._left_out, self._formatted)
        return entry

    def _generate(self, output: Output, cancel: CancelFlag) -> Outcome:
        self._history = self._chat.conversation
        if self._format_message is not None:
            self._formatted = self._history.format(self._added, self._format_message)
        builder = PromptBuilder(self._model, self._chat, cancel, self.tools.description() if self.tools else None)
        prompt = builder.build(self._added, self._formatted, whole=not self._options.context_shift)
        self._left_out = prompt.left_out
        if prompt.prepared is not None and self.tools is not None:
            return self._generate_with_tools(self.tools, prompt, output, cancel)
        splitter = splitter_for(self._template_text(), prompt.ending)

        def observe(token: int, data: bytes) -> bool:
            if splitter is None:
                self._answer.append(data.decode("utf-8", "replace"))
                return output.token(token, data)
            thinking, answer = splitter.feed(data.decode("utf-8", "replace"))
            self._think(thinking)
            self._answer.append(answer)
            return output.token(token, answer.encode()) and self._go_on

        outcome = self._model.generate(
            prompt.tokens,
            self._options.within(self._model.info.n_ctx - len(prompt.tokens)),
            observe,
            cancel,
            n_keep=prompt.n_keep,
            keep_context=True,
            render_special=splitter is not None and splitter.control,
            thinking=splitter.marks if splitter is not None else None,
        )
        if splitter is not None:
            self._finish(splitter, output)
            outcome = dataclasses.replace(outcome, reasoning="".join(self._reasoning))
        return outcome

    def _generate_with_tools(self, tools: ToolUse, prompt: ChatPrompt, output: Output, cancel: CancelFlag) -> Outcome:
        prepared = prompt.prepared
        assert prepared is not None
        reader = AnswerReader(lambda text, partial: prepared.parse(text, partial=partial), tools.on_delta)

        def observe(token: int, data: bytes) -> bool:
            thinking, answer, go_on = reader.feed(data.decode("utf-8", "replace"))
            self._think(thinking)
            self._answer.append(answer)
            return output.token(token, answer.encode()) and go_on and self._go_on

        outcome = self._model.generate(
            prompt.tokens, self._options, observe, cancel, n_keep=prompt.n_keep, keep_context=True, chat=prepared
        )
        thinking, answer = reader.finish(cut_off=outcome.finish_reason != "stop")
        self._think(thinking)
        self._answer.append(answer)
        output.rest(answer)
        return self._with_calls(tools, outcome, [tools.checked(call) for call in reader.calls])

    def _with_calls(self, tools: ToolUse, outcome: Outcome, calls: list[ToolCall]) -> Outcome:
        """The outcome of a round. Nothing is carried out of an answer that was cut off."""
        reasons = splitter_for(self._template_text(), "") is not None or bool(self._reasoning)
        outcome = dataclasses.replace(outcome, reasoning="".join(self._reasoning) if reasons else None)
        valid = tuple(call for call in calls if call.error is None)
        refused = tuple(call for call in calls if call.error is not None)
        if outcome.finish_reason != "stop":
            error = "the answer was cut off after it"
            calls = [call if call.error else dataclasses.replace(call, error=error) for call in calls]
            return dataclasses.replace(outcome, refused_calls=tuple(calls))
        if not calls:
            return outcome
        self.calls = calls
        if tools.goes_on:
            return outcome
        reason = "tool_calls" if valid else outcome.finish_reason
        return dataclasses.replace(outcome, finish_reason=reason, tool_calls=valid, refused_calls=refused)

    def _finish(self, splitter: Splitter, output: Output) -> None:
        """What the splitter held back; its tokens have been reported."""
        thinking, answer = splitter.finish()
        self._think(thinking)
        self._answer.append(answer)
        output.rest(answer)

    def _think(self, text: str) -> None:
        if not text:
            return
        self._reasoning.append(text)
        if self._reasoning_callback is not None and self._go_on:
            self._go_on = self._reasoning_callback(text) is not False

    def _template_text(self) -> str:
        template = self._chat.template
        if template.legacy:
            return ""
        return template.text if template.text is not None else self._model.info.chat_template or ""
