"""Arguments by names that this package does not know, many of which other libraries use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# What others call an argument -> what it is here: an argument as it is to be written, or what to do instead.
_ELSEWHERE = {
    **dict.fromkeys(("temperature",), "temp="),
    **dict.fromkeys(
        ("max_new_tokens", "max_completion_tokens", "max_output_tokens", "max_length", "num_predict", "n_tokens"),
        "max_tokens=",
    ),
    **dict.fromkeys(("stream",), "streaming="),
    **dict.fromkeys(("stop_sequences", "stop_strings", "stop_words", "stop_token"), "stop="),
    **dict.fromkeys(("repetition_penalty", "repeatpenalty"), "repeat_penalty="),
    **dict.fromkeys(("random_seed", "rng_seed"), "seed="),
    **dict.fromkeys(("response_format", "format", "schema", "guided_json", "response_model"), "json_schema="),
    **dict.fromkeys(("top_logprobs",), "logprobs="),
    **dict.fromkeys(("on_token", "token_callback", "streamer"), "callback="),
    **dict.fromkeys(("batch_size",), "n_batch="),
    **dict.fromkeys(
        ("num_ctx", "context_length", "context_size", "context_window", "max_seq_len", "max_context"), "n_ctx="
    ),
    **dict.fromkeys(("n_gpu_layers", "gpu_layers", "num_gpu_layers", "num_gpu"), "ngl="),
    **dict.fromkeys(("num_threads", "threads", "nthreads"), "n_threads="),
    **dict.fromkeys(("model", "model_file", "model_id", "model_name_or_path"), "model_name="),
    **dict.fromkeys(("cache_dir", "cache_folder", "models_dir", "download_dir"), "model_path="),
    **dict.fromkeys(("local_files_only", "offline"), "allow_download=False"),
    **dict.fromkeys(("flash_attn",), "flash_attention="),
    **dict.fromkeys(("type_k", "type_v", "cache_type_k", "cache_type_v"), "kv_type="),
    **dict.fromkeys(("device_map",), "device="),
    **dict.fromkeys(("do_sample",), "temp=0, which always takes the likeliest token"),
    **dict.fromkeys(("messages",), "chat_session(messages=...), with the last message as the prompt"),
    **dict.fromkeys(("history", "chat_history"), "chat_session(messages=...)"),
    **dict.fromkeys(("system", "system_prompt", "system_message"), "chat_session(system_prompt=...)"),
    **dict.fromkeys(("chat_template", "prompt_template"), "chat_session(prompt_template=...)"),
    **dict.fromkeys(("enable_thinking",), 'chat_session(template_args={"enable_thinking": ...})'),
    **dict.fromkeys(("texts", "input", "inputs", "sentences", "documents"), "text="),
    **dict.fromkeys(("dimensions", "truncate_dim"), "dimensionality="),
    **dict.fromkeys(("show_progress_bar", "show_progress"), "progress="),
    **dict.fromkeys(("convert_to_numpy",), 'output="numpy"'),
    **dict.fromkeys(("task_type", "prompt_name", "input_type"), "prefix="),
    **dict.fromkeys(("normalize_embeddings", "normalize"), "nothing: every vector has length 1"),
}


def refuse_unknown(method: Any, given: Collection[str], known: Collection[str] = ()) -> None:
    """Raises a TypeError for the first of ``given``, if any, with the argument of ``method`` that may be meant.

    Those are ``known``, or what it is declared with.
    """
    if given:
        code = method.__code__
        declared = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        name = next(iter(given))
        function = method.__qualname__.removesuffix(".__init__").rpartition(".")[2]
        raise TypeError(f"{function}() has no argument {name!r}; {_advice(name, [*(known or declared)])}")


def _advice(name: str, known: list[str]) -> str:
    elsewhere = _ELSEWHERE.get(name.lower())
    # An advice that is a keyword must be one of this function.
    if elsewhere is not None and ("(" in elsewhere or " " in elsewhere or elsewhere.partition("=")[0] in known):
        return f"did you mean {elsewhere}?"
    from difflib import get_close_matches  # slow to import, and seldom wanted

    close = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {close[0]}=?" if close else f"it takes {', '.join(known)}"
