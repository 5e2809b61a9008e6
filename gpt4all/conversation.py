"""One turn of a chat: the prompt it sends, the answer it gets, and what of both stays in the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpt4all.chat import ChatSession, Message, PromptBuilder
from gpt4all.reasoning import splitter_for

if TYPE_CHECKING:
    from gpt4all._native.backend import CancelFlag, OnToken, Outcome
    from gpt4all.options import GenerationOptions, ReasoningCallback
    from gpt4all.session import ModelSession


class PromptTurn:
    """A call outside a session: the prompt as it is, from an empty context."""

    def __init__(self, session: ModelSession, prompt: str, options: GenerationOptions, parse_special: bool) -> None:
        self._session = session
        self._prompt = prompt
        self._options = options
        self._parse_special = parse_special

    def work(self, on_token: OnToken, cancel: CancelFlag) -> Outcome:
        """Generates; on the worker thread."""
        session = self._session
        tokens = session.prompt_tokens(self._prompt, parse_special=self._parse_special)
        session.check_fits(len(tokens))
        return session.generate(tokens, self._options, on_token, cancel, n_keep=1 if session.info.add_bos else 0)

    def undo(self) -> None:
        """Nothing is kept of such a call."""

    def keep_only(self, seen: str) -> None:
        """Nothing is kept of such a call."""


class ChatTurn:
    """Made when a session's ``generate`` is called; works when the model is free.

    The history grows when the engine is done, on the worker thread, so that
    the next call in the queue finds it. The caller may take that back.
    """

    def __init__(
        self,
        session: ModelSession,
        chat: ChatSession,
        prompt: str,
        options: GenerationOptions,
        reasoning_callback: ReasoningCallback | None,
        format_message: Callable[[list[Message], str], str] | None,
    ) -> None:
        self._session = session
        self._chat = chat
        self._prompt = prompt
        self._options = options
        self._reasoning_callback = reasoning_callback
        self._format_message = format_message
        self._answer: list[str] = []
        self._reasoning: list[str] = []
        self._entries: tuple[Message, Message] | None = None
        self._unwanted = False

    def work(self, on_token: OnToken, cancel: CancelFlag) -> Outcome:
        """Builds the prompt from the history as it is now and generates; on the worker thread."""
        if self._format_message is not None:
            self._format(self._format_message)
        prompt = PromptBuilder(self._session, self._chat).build(self._prompt)
        splitter = splitter_for(self._template_text(), prompt.ending)
        last_token = -1

        def observe(token: int, data: bytes) -> bool:
            nonlocal last_token
            last_token = token
            if splitter is None:
                self._answer.append(data.decode("utf-8", "replace"))
                return on_token(token, data)
            return self._divide(splitter.feed(data.decode("utf-8", "replace")), token, on_token)

        outcome = self._session.generate(
            prompt.tokens,
            self._options,
            observe,
            cancel,
            n_keep=prompt.n_keep,
            keep_context=True,
            render_special=splitter is not None and splitter.control,
            thinking=splitter.marks if splitter is not None else None,
        )
        if splitter is not None:
            self._divide(splitter.finish(), last_token, on_token)
            outcome = dataclasses.replace(outcome, reasoning="".join(self._reasoning))
        self._commit("".join(self._answer))
        return outcome

    def _divide(self, texts: tuple[str, str], token: int, on_token: OnToken) -> bool:
        thinking, answer = texts
        go_on = True
        if thinking:
            self._reasoning.append(thinking)
            if self._reasoning_callback is not None:
                go_on = self._reasoning_callback(thinking) is not False
        self._answer.append(answer)
        return on_token(token, answer.encode()) and go_on

    def _template_text(self) -> str:
        template = self._chat.template
        if template.legacy:
            return ""
        return template.text if template.text is not None else self._session.info.chat_template or ""

    def _format(self, format_message: Callable[[list[Message], str], str]) -> None:
        """Has a subclass format each user message it has not formatted yet, the system prompt before the first."""
        history = self._chat.snapshot()
        system = history.pop(0)["content"] if history and history[0]["role"] == "system" else ""
        for index, message in enumerate([*history, {"role": "user", "content": self._prompt}]):
            known = self._chat.formatted.get(index)
            if message["role"] != "user" or (known is not None and known[0] == message["content"]):
                continue
            text = format_message([message], system if index == 0 else "")
            self._chat.formatted[index] = (message["content"], text)

    def _commit(self, answer: str) -> None:
        with self._chat.lock:
            if self._unwanted:
                return
            self._entries = (
                {"role": "user", "content": self._prompt},
                {"role": "assistant", "content": answer},
            )
            self._chat.history += self._entries

    def undo(self) -> None:
        """Takes the turn out of the history: the call failed."""
        with self._chat.lock:
            self._unwanted = True
            history = self._chat.history
            if self._entries is not None and len(history) >= 2 and history[-1] is self._entries[1]:
                del history[-2:]

    def keep_only(self, seen: str) -> None:
        """Cuts the answer to what the caller has seen: it stopped listening."""
        with self._chat.lock:
            if self._entries is not None and self._chat.history[-1:] and self._chat.history[-1] is self._entries[1]:
                self._entries[1]["content"] = seen
