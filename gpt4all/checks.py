"""Checks of arguments. Each error names the argument; for a name that is not known here, also what it may mean."""

from __future__ import annotations

import inspect
import math
import operator
import os
from collections.abc import Callable, Collection
from typing import Any, TypeVar

INT32_MAX = 2**31 - 1
#: What the engine computes with.
FLOAT32_MAX = (2 - 2**-23) * 2.0**127
_FLOAT32_MIN = 2.0**-126
#: Tokens of context that the command line and the server take where nobody said: more would waste memory.
USUAL_CONTEXT = 4096

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def check_text(name: str, text: object) -> str:
    """``text`` if it is a ``str`` that can be written as UTF-8."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} holds a lone surrogate at index {error.start}, which is no character") from None
    return text


def check_path(name: str, value: object) -> str:
    """``value`` as text: file names of bytes are not taken."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or a path, not {type(value).__name__}")
    return value


def check_flag(name: str, value: object) -> bool:
    """``value`` as a ``bool``: 0 and 1 will do, but a text such as ``"False"`` is an accident."""
    if isinstance(value, int) or type(value).__name__ in ("bool", "bool_"):  # NumPy's
        return bool(value)
    raise TypeError(f"{name} must be a bool, not {type(value).__name__}")


def check_callback(name: str, callback: object) -> None:
    if not callable(callback):
        raise TypeError(f"{name} must be callable, not {type(callback).__name__}")


def check_integer(name: str, value: object, low: int, high: int = INT32_MAX) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        # Arrays have the method, but only those of one number can do it.
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {number}")
    return number


def check_number(name: str, value: object, low: float, high: float = FLOAT32_MAX) -> float:
    number = check_float(name, value)
    # NaN compares false with everything, so it fails here too.
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, not {number}")
    return number


def check_probability(name: str, value: object) -> float:
    """Any number: one below 0 means 0, one above 1 means 1."""
    number = check_float(name, value)
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, not {number}")
    return min(max(number, 0.0), 1.0)


def check_positive(name: str, value: object) -> float:
    number = check_number(name, value, 0.0)
    if number < _FLOAT32_MIN:
        raise ValueError(f"{name} must be more than 0, not {number}")
    return number


def check_float(name: str, value: object) -> float:
    try:
        if isinstance(value, (bool, str, bytes, bytearray)):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a number, not {type(value).__name__}") from None
    except OverflowError:
        # An integer beyond what even a double holds.
        raise ValueError(f"{name} is too large") from None


# An argument as it is to be written here, or what to do instead -> what others call it.
_OTHER_NAMES = {
    "temp=": "temperature",
    "max_tokens=": "max_new_tokens max_completion_tokens max_output_tokens max_length num_predict n_tokens",
    "streaming=": "stream",
    "stop=": "stop_sequences stop_strings stop_words stop_token",
    "repeat_penalty=": "repetition_penalty repeatpenalty",
    "seed=": "random_seed rng_seed",
    "json_schema=": "response_format format schema guided_json response_model",
    "logprobs=": "top_logprobs",
    "callback=": "on_token token_callback streamer",
    "n_batch=": "batch_size",
    "n_ctx=": "num_ctx context_length context_size context_window max_seq_len max_context",
    "ngl=": "n_gpu_layers gpu_layers num_gpu_layers num_gpu",
    "n_threads=": "num_threads threads nthreads",
    "model_name=": "model model_file model_id model_name_or_path",
    "model_path=": "cache_dir cache_folder models_dir download_dir",
    "allow_download=False": "local_files_only offline",
    "flash_attention=": "flash_attn",
    "kv_type=": "type_k type_v cache_type_k cache_type_v",
    "device=": "device_map",
    "temp=0, which always takes the likeliest token": "do_sample",
    "prompt=, which takes a list of messages too": "messages",
    "tools=": "functions available_functions tool_list",
    "tool_choice=": "function_call",
    "chat_session(messages=...)": "history chat_history",
    "chat_session(system_prompt=...)": "system system_prompt system_message",
    "chat_session(prompt_template=...)": "chat_template prompt_template",
    'chat_session(template_args={"enable_thinking": ...})': "enable_thinking",
    "text=": "texts input inputs sentences documents",
    "dimensionality=": "dimensions truncate_dim",
    "progress=": "show_progress_bar show_progress",
    'output="numpy"': "convert_to_numpy",
    "prefix=": "task_type prompt_name input_type",
    "leave it out: async for over agenerate(...) gives the pieces": "streaming",
    "leave it out: every vector has length 1": "normalize_embeddings normalize",
}
_ELSEWHERE = {name: ours for ours, names in _OTHER_NAMES.items() for name in names.split()}


def unknown_hidden(function: FunctionT) -> FunctionT:
    """Leaves ``**unknown``, which takes nothing, out of what ``help`` and ``inspect.signature`` show.

    A program that asks whether the function takes any keyword is told the truth.
    """
    signature = inspect.signature(function)
    known = [parameter for parameter in signature.parameters.values() if parameter.name != "unknown"]
    function.__signature__ = signature.replace(parameters=known)  # type: ignore[attr-defined]
    return function


def refuse_unknown(method: Any, given: Collection[str], known: Collection[str] = ()) -> None:
    """Raises a TypeError for the first of ``given`` that is not ``known``, with the argument that may be meant.

    Without ``known`` that is one of those that ``method`` is declared with.
    """
    for name in given:
        if name in known:
            continue
        code = method.__code__
        declared = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        function = method.__qualname__.removesuffix(".__init__").rpartition(".")[2]
        raise TypeError(f"{function}() has no argument {name!r}; {_advice(name, [*(known or declared)])}")


def _advice(name: str, known: list[str]) -> str:
    elsewhere = _ELSEWHERE.get(name.lower())
    if elsewhere is not None and not _applies(elsewhere, known):
        elsewhere = _ELSEWHERE.get(elsewhere.removesuffix("="))
    if elsewhere is not None and _applies(elsewhere, known):
        return _meant(elsewhere)
    from difflib import get_close_matches  # slow to import, and seldom wanted

    # A name may be mistyped whoever calls it so.
    names = {name: f"{name}=" for name in known}
    names = {theirs: ours for theirs, ours in _ELSEWHERE.items() if _applies(ours, known)} | names
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.7)
    return _meant(names[close[0]]) if close else f"it takes {', '.join(known)}"


def _applies(advice: str, known: list[str]) -> bool:
    """An advice that is a keyword must be one of this function."""
    return "(" in advice or " " in advice or advice.partition("=")[0] in known


def _meant(advice: str) -> str:
    return f"did you mean {advice}?" if "=" in advice else advice
