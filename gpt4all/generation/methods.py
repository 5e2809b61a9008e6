"""The part of ``GPT4All`` that generates: one prompt or many, in a conversation or not, awaited or not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from gpt4all._native.outcome import Outcome
from gpt4all.chat.history import ChatSession
from gpt4all.chat.messages import Message, Prompt, check_prompt
from gpt4all.chat.methods import ChatMethods
from gpt4all.checks import check_flag, check_text, refuse_unknown, unknown_hidden
from gpt4all.errors import CancellationError
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.generation.chat import Chat
from gpt4all.generation.many import Completion
from gpt4all.generation.streaming import Generation
from gpt4all.options import (
    DEFAULT_REPEAT_PENALTY,
    GenerateArguments,
    LogprobsCallback,
    ReasoningCallback,
    ResponseCallback,
    ToolCallback,
    ToolDeltaCallback,
    empty_response_callback,
)

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from gpt4all.generation.call import Call
else:
    # With the engine, which importing the package leaves out; type hints can be had all the same.
    Call = Any


#: The arguments that tools have to do with, as they are where there are none.
_WITHOUT_TOOLS = {
    "tools": None,
    "tool_choice": "auto",
    "parallel_tool_calls": None,
    "max_tool_rounds": 8,
    "tool_callback": None,
    "tool_delta_callback": None,
    "run_tools": True,
}


class GenerationMethods(ChatMethods):
    """What a loaded model is asked for."""

    last_generation: Outcome | None

    @overload
    def generate(
        self, prompt: Prompt, *, streaming: Literal[False] = ..., **arguments: Unpack[GenerateArguments]
    ) -> str: ...

    @overload
    def generate(
        self, prompt: Prompt, *, streaming: Literal[True], **arguments: Unpack[GenerateArguments]
    ) -> Generation: ...

    @overload
    def generate(
        self, prompt: Prompt, *, streaming: bool, **arguments: Unpack[GenerateArguments]
    ) -> str | Generation: ...

    @unknown_hidden
    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temp: float = 0.7,
        top_k: int = 40,
        top_p: float = 0.4,
        min_p: float = 0.0,
        repeat_penalty: float = DEFAULT_REPEAT_PENALTY,
        repeat_last_n: int = 64,
        n_batch: int = 512,
        n_predict: int | None = None,
        streaming: bool = False,
        callback: ResponseCallback = empty_response_callback,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        logit_bias: Mapping[int, float] | None = None,
        grammar: str | None = None,
        json_schema: dict[str, Any] | type | None = None,
        logprobs: int | None = None,
        logprobs_callback: LogprobsCallback | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        parse_special: bool = True,
        context_shift: bool = True,
        legacy_stops: bool = True,
        reasoning_callback: ReasoningCallback | None = None,
        tools: Sequence[Any] | None = None,
        tool_choice: str | Mapping[str, Any] = "auto",
        parallel_tool_calls: bool | None = None,
        max_tool_rounds: int = 8,
        tool_callback: ToolCallback | None = None,
        tool_delta_callback: ToolDeltaCallback | None = None,
        run_tools: bool = True,
        **unknown: NoReturn,
    ) -> str | Generation:
        """Continues a prompt, or inside ``chat_session`` answers a message.

        Outside a session every call starts from an empty context; a prefix
        shared with the previous call is not computed again. Inside, the whole
        conversation is sent; where it does not fit the context, its oldest
        turns are left out, and the history keeps them.

        With ``grammar`` or ``json_schema`` 2.8's stop texts are off,
        ``repeat_penalty`` is 1 unless it is given, and a reasoning model
        thinks before its answer as it likes.

        Args:
            prompt: the text to continue; the user's message inside a session. Or a list of messages
                in OpenAI's shape: outside a session a conversation to answer with the model's
                chat template, of which nothing is kept; inside, messages to add. The last
                one is the user's or a tool's.
            max_tokens: most tokens to generate; 0 only computes the prompt.
            temp: temperature; 0 always takes the likeliest token.
            top_k: draws from this many likeliest tokens; 1 is greedy, 0 or less means all.
            top_p: draws from the likeliest tokens whose probabilities reach this
                sum; 0 or less keeps one, 1 or more all.
            min_p: drops tokens less likely than this share of the likeliest one's probability.
            repeat_penalty: divides the logits of recent tokens, the prompt's too; 1 is off.
            repeat_last_n: how many recent tokens that is; -1 is the whole context.
            n_batch: prompt tokens computed at once, at most 512.
            n_predict: the old name of ``max_tokens``; wins when given.
            streaming: returns a ``Generation``, an iterator of pieces, instead of
                the whole text.
            callback: called with each token's id and text; ``False`` stops, and
                what it raises is raised here. On a thread of this package when streaming.
            seed: makes the draw repeatable; from 0 to 2**32 - 1.
            stop: texts that end the answer and are not part of it, besides the
                six that 2.8 had; an empty list turns those off too. Sessions with
                a Jinja template have none of 2.8's.
            logit_bias: added to the logits of tokens, by id; ``-math.inf`` bans one.
            grammar: a GBNF grammar that the answer keeps to, from its rule ``root``.
            json_schema: a JSON Schema as a dict, or a pydantic model class. The
                answer is JSON that it accepts, unless ``finish_reason`` is
                ``"length"`` or ``"cancelled"``: then it was cut off.
            logprobs: puts each token's log-probability into
                ``last_generation.logprobs``, with this many of the likeliest
                alternatives, 0 to 20; what the model itself computed, before any
                other option here.
            logprobs_callback: called with each token's entry of that, before its text comes, on a
                thread of this package; ``False`` stops.
            presence_penalty: subtracted from the logits of the tokens that the answer has so far;
                negative numbers favour them.
            frequency_penalty: subtracted once for each time that the answer has the token.
            parse_special: reads control tokens written in the prompt as such.
                Inside a session a message's never are.
            context_shift: where the context is full, leaves out a conversation's oldest turns, and of what is
                computed the older half. ``False`` never does: a conversation that does not fit is an error, and an
                answer ends with ``finish_reason`` ``"length"``.
            legacy_stops: ``False`` turns off the six stop texts that 2.8 had.
            reasoning_callback: called with each piece of a reasoning model's
                thinking, on a thread of this package; ``False`` stops. All of it
                is in ``last_generation.reasoning``, and none in the answer.
            tools: what the model may call: functions, whose annotations and docstrings it is
                told; pydantic model classes; dicts in OpenAI's form. Outside a session
                the prompt is then a message, put into the model's chat template.
                Functions are called on this thread and their results sent back, until the
                model answers with a text. Calls of tools without a function end the
                generation: see ``last_generation.tool_calls``. A call that does not
                match its tool's schema is never carried out.
            tool_choice: ``"auto"``, ``"none"``, ``"required"``, or the name of the tool that the
                first round has to call; ``"auto"`` in later rounds.
            parallel_tool_calls: whether one round may make several calls, which are carried out
                one after the other; ``None`` lets it where no call is asked for.
            max_tool_rounds: most rounds of calls; if the model still calls tools after them, its
                calls are in ``last_generation.tool_calls``. ``max_tokens`` counts for each round.
            tool_callback: called with each ``ToolCall`` first. ``None`` or ``True`` carries it out,
                ``False`` refuses it, a ``ToolCall`` takes its place, anything else is its result.
            tool_delta_callback: called with each ``ToolCallDelta`` while a call is being written,
                on a thread of this package; ``False`` stops. The call may yet be refused.
            run_tools: ``False`` carries nothing out and leaves the calls of the first round in
                ``last_generation.tool_calls``.

        Returns:
            The completion, or an iterator over its pieces, which joined equal it. Where tools were
            called it is that of the last round, and the pieces are those of all.

        Raises:
            ContextWindowExceededError: the prompt has more than ``n_ctx`` - 4 tokens; in a
                session, the system prompt and the message alone.
            CancellationError: the model was closed during the call.
            GenerationError: the engine failed, or this is called from a callback of the model.
            UnsupportedModelError: the model embeds texts and cannot generate any.
            ToolError: a tool raised it; what else a tool raises is told to the model.
            ValueError, TypeError: an argument makes no sense; the message names it.

        Example:
            >>> model.generate("The capital of France is", max_tokens=20, temp=0, stop=".")
            ' Paris'
            >>> for piece in model.generate("The capital of France is", max_tokens=2, temp=0, streaming=True):
            ...     print(piece)
             Paris
            .
            >>> model.generate("Is the sky blue?", grammar='root ::= " yes" | " no"') in (" yes", " no")
            True
            >>> def add(a: int, b: int) -> int:
            ...     return a + b
            >>> text = model.generate("2 + 3?", tools=[add], tool_choice="required", run_tools=False, temp=0)
            >>> [call.name for call in model.last_generation.tool_calls]
            ['add']
        """
        refuse_unknown(GenerationMethods.generate, unknown)
        streaming = check_flag("streaming", streaming)
        call = self._new_call(
            prompt,
            max_tokens=max_tokens,
            temp=temp,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repeat_penalty=repeat_penalty,
            repeat_last_n=repeat_last_n,
            n_batch=n_batch,
            n_predict=n_predict,
            callback=callback,
            seed=seed,
            stop=stop,
            logit_bias=logit_bias,
            grammar=grammar,
            json_schema=json_schema,
            logprobs=logprobs,
            logprobs_callback=logprobs_callback,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            parse_special=parse_special,
            context_shift=context_shift,
            legacy_stops=legacy_stops,
            reasoning_callback=reasoning_callback,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            max_tool_rounds=max_tool_rounds,
            tool_callback=tool_callback,
            tool_delta_callback=tool_delta_callback,
            run_tools=run_tools,
        )
        return Generation(call) if streaming else call.text()

    def agenerate(self, prompt: Prompt, **arguments: Unpack[GenerateArguments]) -> AsyncGeneration:
        """``generate`` for asyncio: ``await`` it for the whole text, or ``async for`` its pieces.

        Callbacks run on a thread of this package. Cancelling the task stops the
        engine within a token; the event loop is never blocked.

        Args:
            prompt: as for ``generate``.
            **arguments: the keyword arguments of ``generate``, all but ``streaming``.

        Returns:
            What is awaited or iterated, once; its ``outcome`` says how this call ended.

        Raises:
            ValueError, TypeError: an argument makes no sense; the message names it.
                What ``generate`` raises otherwise, awaiting or iterating does.

        Example:
            >>> import asyncio
            >>> async def main():
            ...     print(await model.agenerate("The opposite of hot is", max_tokens=2, temp=0))
            ...     async for piece in model.agenerate("The capital of France is", max_tokens=1, temp=0):
            ...         print(piece)
            >>> asyncio.run(main())
             cold.
             Paris
        """
        refuse_unknown(GenerationMethods.agenerate, arguments, ("prompt", *GenerateArguments.__annotations__))
        return AsyncGeneration(self._new_call(prompt, **arguments))

    @overload
    def generate_many(
        self,
        prompts: Iterable[Prompt],
        *,
        as_completed: Literal[False] = ...,
        progress: bool = ...,
        **arguments: Unpack[GenerateArguments],
    ) -> list[Completion]: ...

    @overload
    def generate_many(
        self,
        prompts: Iterable[Prompt],
        *,
        as_completed: Literal[True],
        progress: bool = ...,
        **arguments: Unpack[GenerateArguments],
    ) -> Generator[tuple[int, Completion], None, None]: ...

    def generate_many(
        self,
        prompts: Iterable[Prompt],
        *,
        as_completed: bool = False,
        progress: bool = False,
        **arguments: Unpack[GenerateArguments],
    ) -> list[Completion] | Generator[tuple[int, Completion], None, None]:
        """Answers many prompts, ``n_parallel`` of them at once.

        What goes wrong with one prompt is in its ``Completion`` and stops none of the others.

        Args:
            prompts: texts to continue; or conversations to answer with the model's chat template,
                each a list of messages of which the last is the user's. Read as the work goes on.
            as_completed: gives each as it is done, instead of all in the end.
            progress: shows a bar of the prompts done on stderr.
            **arguments: the keyword arguments of ``generate``, all but ``streaming`` and the callbacks.

        Returns:
            A ``Completion`` for each prompt, in their order; with ``as_completed`` an iterator over
            pairs of a prompt's index and its ``Completion``.

        Raises:
            ValueError, TypeError: a prompt or an argument makes no sense, or a chat session is open.

        Example:
            >>> for completion in model.generate_many(["The opposite of hot is", "1, 2, 3,"], max_tokens=2, temp=0):
            ...     print(repr(completion.text))
            ' cold.'
            ' 4'
        """
        taken = [name for name in GenerateArguments.__annotations__ if not name.endswith("callback")]
        refuse_unknown(GenerationMethods.generate_many, arguments, ("prompts", "as_completed", "progress", *taken))
        if self._current_chat() is not None:
            raise ValueError("generate_many() cannot be called in a chat session; give it lists of messages instead")
        if isinstance(prompts, (str, bytes)) or not isinstance(prompts, Iterable):
            raise TypeError(f"prompts must be a list of texts or of lists of messages, not {type(prompts).__name__}")
        from gpt4all.generation.many import complete, in_order

        total = len(prompts) if isinstance(prompts, Sized) else None
        calls = self._calls_of_many(prompts, arguments)
        # One more than are computed: there is always a next one.
        completions = complete(
            calls, self._loaded.n_parallel + 1, total=total, progress=check_flag("progress", progress)
        )
        return completions if check_flag("as_completed", as_completed) else in_order(completions)

    def _calls_of_many(
        self, prompts: Iterable[object], arguments: GenerateArguments
    ) -> Iterator[Call | CancellationError]:
        from gpt4all.engine.workers import CLOSED_MEANWHILE

        for place, prompt in enumerate(prompts):
            call: Call | CancellationError
            try:
                call = self._call_of_many(place, prompt, arguments)
            except ValueError:
                if place == 0 or not self._loaded.closed:
                    raise
                # What has been answered is not lost.
                call = CancellationError(CLOSED_MEANWHILE)
            yield call

    def _call_of_many(self, place: int, prompt: object, arguments: GenerateArguments) -> Call:
        if isinstance(prompt, str):
            return self._call(None, self._remember, prompt, **arguments)
        try:
            messages = check_prompt(prompt)
        except (TypeError, ValueError) as error:
            raise type(error)(f"prompts[{place}]: {error}") from None
        return self._call(None, self._remember, messages, **arguments)

    def new_chat(
        self,
        system_prompt: str | None = None,
        prompt_template: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        template_args: Mapping[str, Any] | None = None,
    ) -> Chat:
        """A conversation as an object, which any thread or task may have; ``chat_session`` without the ``with``.

        Args:
            system_prompt: as for ``chat_session``.
            prompt_template: as for ``chat_session``.
            messages: a stored conversation to go on with.
            template_args: as for ``chat_session``.

        Returns:
            The conversation. Others of the same model, and calls of the model itself, do not see it.

        Raises:
            ValueError, TypeError: a template or a message makes no sense.

        Example:
            >>> with model.new_chat("You are brief.") as chat:
            ...     text = chat.generate("What is the capital of France?", max_tokens=20, temp=0)
        """
        return Chat(
            self._call, self._remember, self._new_session(system_prompt, prompt_template, messages, template_args)
        )

    def _new_call(self, prompt: Prompt, **arguments: Unpack[GenerateArguments]) -> Call:
        return self._call(self._current_chat(), self._remember, prompt, **arguments)

    def _call(
        self,
        chat: ChatSession | None,
        on_outcome: Callable[[Outcome], None],
        prompt: Prompt,
        **arguments: Unpack[GenerateArguments],
    ) -> Call:
        # With the engine, which is loaded by now.
        from gpt4all.generation.call import Call
        from gpt4all.tools.calls import ToolUse

        format_message = None if chat is None else self._own_format()
        if isinstance(prompt, str):
            added: list[Message] = [{"role": "user", "content": check_text("prompt", prompt)}]
        else:
            added = check_prompt(prompt, "prompt")
        given: Any = {name: value for name, value in arguments.items() if name in _WITHOUT_TOOLS}
        use = None if given.items() <= _WITHOUT_TOOLS.items() else ToolUse.create(**given)
        sent: str | list[Message] = added
        if chat is None and isinstance(prompt, str) and not arguments.get("tools"):
            sent = prompt
        elif chat is None:
            # A conversation of its own, nothing of which is kept.
            chat, sent = self._new_session(None, None, added[:-1], None), added[-1:]
        rest: Any = {name: value for name, value in arguments.items() if name not in given}
        return Call.prepare(self._loaded, chat, format_message, on_outcome, sent, tools=use, **rest)

    def _remember(self, outcome: Outcome) -> None:
        self.last_generation = outcome
