"""Arguments by names that this package does not know, many of which other libraries use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

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
    "chat_session(messages=...), with the last message as the prompt": "messages",
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
