"""Load and generation options, checked before any native call; errors name the argument as the caller wrote it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from gpt4all._native.outcome import TokenLogprob, ToolCall, ToolCallDelta
from gpt4all.checks import (
    FLOAT32_MAX,
    INT32_MAX,
    check_callback,
    check_flag,
    check_float,
    check_integer,
    check_number,
    check_positive,
    check_probability,
    check_text,
)
from gpt4all.grammars.constraint import Constraint, constraint_of
from gpt4all.machine.cpu_threads import default_thread_count, usable_cpus
from gpt4all.notices import warn_caller

#: Called with a token's id and its text; ``False`` stops the generation, ``None`` goes on.
ResponseCallback = Callable[[int, str], "bool | None"]


def empty_response_callback(token_id: int, response: str) -> bool:
    """The default ``callback`` of ``GPT4All.generate``: goes on.

    Args:
        token_id: the token's number in the vocabulary.
        response: the token's text.

    Returns:
        ``True``; ``False`` would stop the generation.

    Example:
        >>> empty_response_callback(905, " world")
        True
    """
    return True


ProgressCallback = Callable[[float], "bool | None"]
#: Called with each piece of thinking; ``False`` stops the generation.
ReasoningCallback = Callable[[str], "bool | None"]
#: Called with each token and its log-probability, before its text; ``False`` stops the generation.
LogprobsCallback = Callable[[TokenLogprob], "bool | None"]

#: Called with each call of a tool before it is carried out; ``False`` refuses it, a ``ToolCall`` takes its place,
#: anything else but ``None`` and ``True`` is its result.
ToolCallback = Callable[[ToolCall], Any]
#: Called with each piece of a call; ``False`` stops the generation.
ToolDeltaCallback = Callable[[ToolCallDelta], "bool | None"]

#: Texts at which gpt4all 2.8 ended every answer; still so outside Jinja sessions.
LEGACY_STOPS = ("### Instruction", "### Prompt", "### Response", "### Human", "### Assistant", "### Context")


class Default(float):
    """A default that can be told from the same number when the caller gives it."""


#: That of 2.8.
DEFAULT_REPEAT_PENALTY = Default(1.18)

#: The engine's types for the KV cache, ggml's names.
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_UNQUANTIZED_KV_TYPES = ("f32", "f16", "bf16")

#: For ``n_parallel="auto"``, the least and the most where there is memory: weights are read once for all, so the first
#: few cost little time, and more pay where more threads compute.
_AUTO_PARALLEL = (4, 8)
#: The engine's limit.
MAX_PARALLEL = 256

#: ggml's limit.
_MAX_THREADS = 512

#: Alternatives per token; as many as OpenAI's interface gives.
MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model."""

    n_ctx: int
    n_threads: int
    n_gpu_layers: int
    kv_type: str
    flash_attention: bool | None
    main_gpu: int
    tensor_split: tuple[float, ...]
    progress: ProgressCallback | None
    use_mmap: bool
    n_parallel: int = 1
    #: Whether fewer will do where memory is short.
    is_parallel_auto: bool = False
    #: The most prompt tokens computed at once; that of a generation may be less.
    n_batch: int = 512

    @classmethod
    def create(
        cls,
        *,
        n_ctx: int | None = 2048,
        n_threads: int | None = None,
        ngl: int = 100,
        kv_type: str = "f16",
        flash_attention: bool | str = "auto",
        main_gpu: int = 0,
        tensor_split: Sequence[float] | None = None,
        progress: ProgressCallback | None = None,
        use_mmap: bool = True,
        n_parallel: int | str = 1,
    ) -> LoadOptions:
        n_ctx = 0 if n_ctx is None else check_integer("n_ctx", n_ctx, 0)
        if 0 < n_ctx < 8:
            raise ValueError(f"n_ctx must be at least 8, or 0 for the model's trained length, not {n_ctx}")
        if kv_type not in KV_TYPES:
            raise ValueError(f"kv_type must be one of {', '.join(KV_TYPES)}, not {kv_type!r}")
        if flash_attention not in ("auto", True, False) or isinstance(flash_attention, (int, float)) != isinstance(
            flash_attention, bool
        ):
            raise ValueError(f"flash_attention must be 'auto', True or False, not {flash_attention!r}")
        if flash_attention is False and kv_type not in _UNQUANTIZED_KV_TYPES:
            raise ValueError(f"kv_type {kv_type!r} needs flash attention, but flash_attention is False")
        if progress is not None and not callable(progress):
            raise TypeError("progress must be callable or None")
        split = _shares("tensor_split", tensor_split)
        main_gpu = check_integer("main_gpu", main_gpu, 0)
        if main_gpu > 0 and not split:
            raise ValueError(
                f"main_gpu is {main_gpu}, but only a model that tensor_split spreads has one; "
                "a single GPU is chosen with device, as 'cuda:1'"
            )
        n_threads = check_thread_count(n_threads)
        return cls(
            n_ctx=n_ctx,
            n_threads=n_threads,
            n_gpu_layers=check_integer("ngl", ngl, 0),
            kv_type=kv_type,
            flash_attention=None if isinstance(flash_attention, str) else flash_attention,
            main_gpu=main_gpu,
            tensor_split=split,
            progress=progress,
            use_mmap=check_flag("use_mmap", use_mmap),
            n_parallel=check_parallel(n_parallel, n_threads),
            is_parallel_auto=n_parallel == "auto",
        )


class GenerateArguments(TypedDict, total=False):
    """Keyword arguments of ``GPT4All.generate`` that do not change its return type."""

    max_tokens: int
    temp: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last_n: int
    n_batch: int
    n_predict: int | None
    callback: ResponseCallback
    seed: int | None
    stop: str | Sequence[str] | None
    logit_bias: Mapping[int, float] | None
    grammar: str | None
    json_schema: dict[str, Any] | type | None
    logprobs: int | None
    logprobs_callback: LogprobsCallback | None
    presence_penalty: float
    frequency_penalty: float
    parse_special: bool
    context_shift: bool
    legacy_stops: bool
    reasoning_callback: ReasoningCallback | None
    tools: Sequence[Any] | None
    tool_choice: str | Mapping[str, Any]
    parallel_tool_calls: bool | None
    max_tool_rounds: int
    tool_callback: ToolCallback | None
    tool_delta_callback: ToolDeltaCallback | None
    run_tools: bool


@dataclass(frozen=True)
class GenerationOptions:
    """How to continue a prompt."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last_n: int
    n_batch: int
    seed: int
    stop: tuple[str, ...]
    #: Tokens and what is added to their logits.
    logit_bias: tuple[tuple[int, float], ...] = ()
    constraint: Constraint | None = None
    #: Alternatives to report for each token; ``None`` reports nothing.
    logprobs: int | None = None
    logprobs_callback: LogprobsCallback | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    #: Whether what is oldest makes room where the context is full.
    context_shift: bool = True

    @property
    def grammar(self) -> str | None:
        return None if self.constraint is None else self.constraint.grammar

    def within(self, n_free: int) -> GenerationOptions:
        """These for a prompt that leaves room for so many tokens."""
        return self if self.context_shift else replace(self, max_tokens=min(self.max_tokens, n_free))

    @classmethod
    def create(
        cls,
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
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        logit_bias: Mapping[int, float] | None = None,
        grammar: str | None = None,
        json_schema: object = None,
        logprobs: int | None = None,
        logprobs_callback: LogprobsCallback | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        context_shift: bool = True,
        legacy_stops: bool = True,
        with_tools: bool = False,
    ) -> GenerationOptions:
        if n_predict is not None:
            max_tokens = check_integer("n_predict", n_predict, 0)
        # A fresh seed is drawn here, so that every run has one that could be told.
        seed = int.from_bytes(os.urandom(4), "little") if seed is None else check_integer("seed", seed, 0, 2**32 - 1)
        constraint = constraint_of(grammar, json_schema)
        stops = _stop_texts(stop, LEGACY_STOPS if legacy_stops and constraint is None else ())
        if constraint is not None:
            if constraint.argument == "json_schema" and stops:
                raise ValueError("stop cannot be combined with json_schema: the JSON would be cut off where it matches")
            if with_tools:
                raise ValueError(f"{constraint.argument} cannot be combined with tools, whose calls have grammars too")
        if (constraint is not None or with_tools) and isinstance(repeat_penalty, Default):
            # A quote or a bracket that came a while ago is no repetition.
            repeat_penalty = 1.0
        if logprobs_callback is not None:
            check_callback("logprobs_callback", logprobs_callback)
            if logprobs is None:
                raise ValueError("logprobs_callback needs logprobs: 0, or how many alternatives each token has")
        return cls(
            max_tokens=check_integer("max_tokens", max_tokens, 0),
            temperature=check_number("temp", temp, 0.0),
            top_k=check_integer("top_k", top_k, -INT32_MAX),
            top_p=check_probability("top_p", top_p),
            min_p=check_number("min_p", min_p, 0.0, 1.0),
            repeat_penalty=check_positive("repeat_penalty", repeat_penalty),
            repeat_last_n=check_integer("repeat_last_n", repeat_last_n, -1),
            n_batch=check_integer("n_batch", n_batch, 1),
            seed=seed,
            stop=stops,
            logit_bias=_biases(logit_bias),
            constraint=constraint,
            logprobs=None if logprobs is None else check_integer("logprobs", logprobs, 0, MAX_TOP_LOGPROBS),
            logprobs_callback=logprobs_callback,
            presence_penalty=check_number("presence_penalty", presence_penalty, -FLOAT32_MAX),
            frequency_penalty=check_number("frequency_penalty", frequency_penalty, -FLOAT32_MAX),
            context_shift=check_flag("context_shift", context_shift),
        )


def check_parallel(n_parallel: int | str, n_threads: int) -> int:
    """Generations computed together; ``"auto"`` is as many as ``n_threads``, from 4 to 8."""
    if n_parallel == "auto":
        least, most = _AUTO_PARALLEL
        return min(max(least, n_threads), most)
    if isinstance(n_parallel, str):
        raise ValueError(f"n_parallel must be a number or 'auto', not {n_parallel!r}")
    return check_integer("n_parallel", n_parallel, 1, MAX_PARALLEL)


def check_thread_count(n_threads: int | None) -> int:
    """``n_threads`` as given, or what suits the machine for ``None``; more than can run at once get a warning."""
    if n_threads is None:
        return default_thread_count()
    wanted = check_integer("n_threads", n_threads, 1, _MAX_THREADS)
    usable = usable_cpus()
    if wanted > usable:
        warn_caller(
            f"n_threads={wanted}, but only {usable} can run at once here: the threads will wait for each other, "
            f"often many times longer than they compute; n_threads={usable} or None is faster"
        )
    return wanted


def _stop_texts(stop: object, standing: tuple[str, ...]) -> tuple[str, ...]:
    if stop is None:
        return standing
    if isinstance(stop, str):
        texts: tuple[str, ...] = (stop,)
    elif isinstance(stop, Iterable) and not isinstance(stop, (bytes, bytearray, Mapping)):
        texts = tuple(stop)
    else:
        raise TypeError(f"stop must be a str, a list of str or None, not {type(stop).__name__}")
    for text in texts:
        if not check_text("stop", text):
            raise ValueError("stop holds an empty text, which would end every answer at once")
    # An empty list turns 2.8's texts off; others come on top of them.
    return (*texts, *standing) if texts else ()


def _biases(biases: object) -> tuple[tuple[int, float], ...]:
    """Pairs of a token id and a bias; whether the model has such tokens is not known yet."""
    if biases is None:
        return ()
    if not isinstance(biases, Mapping):
        raise TypeError(f"logit_bias must be a dict of token ids and numbers or None, not {type(biases).__name__}")
    return tuple((check_integer("logit_bias's token id", token, 0), _bias(bias)) for token, bias in biases.items())


def _bias(value: object) -> float:
    bias = check_float("logit_bias's number", value)
    # Minus infinity bans a token; plus infinity cannot be weighed against anything.
    if math.isnan(bias) or bias > FLOAT32_MAX or (bias < -FLOAT32_MAX and not math.isinf(bias)):
        raise ValueError(f"logit_bias's number must be finite, or -inf to ban the token, not {bias}")
    return bias


def _shares(name: str, shares: object) -> tuple[float, ...]:
    if shares is None:
        return ()
    if not isinstance(shares, Iterable) or isinstance(shares, (str, bytes)):
        raise TypeError(f"{name} must be a list of numbers or None, not {type(shares).__name__}")
    split = tuple(check_number(name, share, 0.0) for share in shares)
    if split and not any(split):
        raise ValueError(f"{name} has only shares of 0")
    return split
