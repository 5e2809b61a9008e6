"""Calls of tools: checked, answered between the rounds of a generation, and the messages that they leave."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpt4all._native.outcome import ToolCall
from gpt4all.chat.messages import Message
from gpt4all.checks import check_callback, check_flag, check_integer
from gpt4all.errors import ToolError
from gpt4all.options import ToolCallback, ToolDeltaCallback
from gpt4all.tools.running import Steps

if TYPE_CHECKING:
    from gpt4all.tools.toolbox import Tool, Toolbox

REFUSED = "The call was refused by the user."
INTERRUPTED = "Error: the call was interrupted."


@dataclass
class ToolUse:
    """What one call of ``generate`` does with tools.

    Attributes:
        choice: of the round that comes next.
        rounds_left: how many may still be carried out.
        done: the calls that were dealt with, and those that wait for the caller.
        is_over: the caller has ended the generation, so no further call is carried out.
    """

    toolbox: Toolbox
    choice: str | dict[str, str]
    parallel: bool | None
    rounds_left: int
    callback: ToolCallback | None
    on_delta: ToolDeltaCallback | None
    run: bool
    done: list[ToolCall] = field(default_factory=list)
    is_over: bool = False

    @classmethod
    def create(
        cls,
        *,
        tools: object = None,
        tool_choice: object = "auto",
        parallel_tool_calls: bool | None = None,
        max_tool_rounds: int = 8,
        tool_callback: ToolCallback | None = None,
        tool_delta_callback: ToolDeltaCallback | None = None,
        run_tools: bool = True,
    ) -> ToolUse | None:
        """Checks every argument; ``None`` where no tool may be called."""
        for name, callback in (("tool_callback", tool_callback), ("tool_delta_callback", tool_delta_callback)):
            if callback is not None:
                check_callback(name, callback)
        # Grammars take a while to import, which calls without tools need not wait for.
        from gpt4all.tools.toolbox import check_choice, read_tools

        run = check_flag("run_tools", run_tools)
        if tool_callback is not None and not run:
            raise ValueError("tool_callback is called for tools that are run, but run_tools is False")
        toolbox = read_tools(tools)
        choice = check_choice(tool_choice, toolbox)
        parallel = None if parallel_tool_calls is None else check_flag("parallel_tool_calls", parallel_tool_calls)
        rounds = check_integer("max_tool_rounds", max_tool_rounds, 1)
        if not toolbox or choice == "none":
            return None
        return cls(toolbox, choice, parallel, rounds, tool_callback, tool_delta_callback, run)

    @property
    def goes_on(self) -> bool:
        """Whether calls are carried out, and not handed to the caller."""
        return self.run and self.rounds_left > 0

    def description(self) -> dict[str, Any]:
        """What the engine is told."""
        tools = [tool.definition() for tool in self.toolbox]
        # A small model that has to call would not stop calling.
        parallel = self.choice == "auto" if self.parallel is None else self.parallel
        return {"tools": tools, "choice": self.choice, "parallel": parallel}

    def checked(self, call: Mapping[str, Any]) -> ToolCall:
        """A call as the engine reads it; with an ``error`` where it must not be carried out."""
        name, text = call["name"], call["arguments"]
        made = ToolCall(call["id"] or new_id(), name, {}, text)
        tool = self.toolbox.get(name)
        if not call["complete"]:
            return dataclasses.replace(made, error="the call was cut off")
        if tool is None:
            known = ", ".join(self.toolbox.names())
            return dataclasses.replace(made, error=f"there is no tool {name!r}; there are {known}")
        try:
            return dataclasses.replace(made, arguments=tool.check(json.loads(text)))
        except (ValueError, RecursionError) as error:
            return dataclasses.replace(made, error=str(error))

    def answers(self, calls: list[ToolCall], on_answer: Callable[[ToolCall], None]) -> Steps:
        """Deals with the calls of a round one after the other; ``False`` where one waits for the caller."""
        self.rounds_left -= 1
        # A call that was asked for by the caller has been made.
        self.choice = "auto"
        all_answered = True
        for call in calls:
            if self.is_over:
                return False
            answered = yield from self._answer(call)
            self.done.append(answered)
            if answered.result is None:
                all_answered = False
            else:
                on_answer(answered)
        return all_answered

    def _answer(self, call: ToolCall) -> Generator[Callable[[], Any], Any, ToolCall]:
        if call.error is not None:
            return dataclasses.replace(call, result=_as_text(f"Error: {call.error}"))
        if self.callback is not None:
            verdict = yield functools.partial(self.callback, call)
            if isinstance(verdict, ToolCall):
                call = self._replaced(call, verdict)
            elif verdict is False:
                return dataclasses.replace(call, result=REFUSED, error="tool_callback refused it")
            elif verdict is not None and verdict is not True:
                return dataclasses.replace(call, result=result_text(verdict))
        signature = self._tool(call).signature
        if signature is None:
            return call
        try:
            # What it returned may still fail where it is written out.
            result = result_text((yield signature.call_with(call.arguments)))
        except ToolError:
            raise
        except Exception as error:
            result = error_text(error)
        return dataclasses.replace(call, result=result)

    def _replaced(self, call: ToolCall, wanted: ToolCall) -> ToolCall:
        tool = self.toolbox.get(wanted.name)
        if tool is None:
            raise ValueError(f"tool_callback gave a call of {wanted.name!r}, which is no tool of this generation")
        try:
            arguments = tool.check(wanted.arguments)
        except ValueError as error:
            raise ValueError(f"tool_callback gave a call of {wanted.name!r}: {error}") from None
        text = _as_text(json.dumps(arguments, ensure_ascii=False))
        return ToolCall(call.id, wanted.name, arguments, text)

    def _tool(self, call: ToolCall) -> Tool:
        tool = self.toolbox.get(call.name)
        assert tool is not None
        return tool


def calls_message(text: str, calls: list[ToolCall], thinking: str) -> Message:
    """The assistant's message with these calls, and with the thinking that led to them, as templates may want it."""
    return {
        "role": "assistant",
        "content": text,
        **({"reasoning_content": thinking} if thinking else {}),
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                # Of a call that broke off only the name is well formed.
                "function": {"name": call.name, "arguments": call.arguments_text if call.arguments else "{}"},
            }
            for call in calls
        ],
    }


def new_id() -> str:
    # Templates of Mistral's take nine letters and digits, others anything.
    return uuid.uuid4().hex[:9]


def result_text(value: object) -> str:
    """What a tool returned, as the model is told it: a text as it is, everything else as JSON."""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False, default=_plain)
        except (TypeError, ValueError, RecursionError):
            value = str(value)
    return _as_text(value)


def error_text(error: BaseException) -> str:
    """What the model is told of it."""
    try:
        said = str(error)
    except Exception as failure:
        said = f"(its text cannot be had: {type(failure).__name__})"
    return _as_text(f"Error: {type(error).__name__}: {said}")


def _as_text(text: str) -> str:
    """Without halves of characters, which names of files may have and no engine takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)
