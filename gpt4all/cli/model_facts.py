"""What a model's file says of itself, and whether this machine has the memory for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt4all.gguf.preflight import GGUFHeader

#: ``general.file_type``, by llama.cpp's numbers.
_FILE_TYPES = (
    *("F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L"),
    *("Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S"),
    *("IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16"),
)


def describe(
    path: str | Path, listed: dict[str, Any] | None, *, n_ctx: int | None = None, strict: bool = False
) -> dict[str, Any]:
    """Facts for people and for JSON.

    Args:
        path: the file, the first part of a split.
        listed: what ``list_local_models`` says of it, if it does.
        n_ctx: the context to count memory for, 0 for the trained length; as commands load it without.
        strict: raises what is wrong with the file instead of telling it as ``error``.
    """
    from gpt4all import GPT4AllError, gguf
    from gpt4all.machine.main_memory import free_memory

    path = Path(path)
    name = path.name if listed is None else listed["model_name"]
    facts: dict[str, Any] = {"model_name": name, "path": str(path)}
    facts["size"] = path.stat().st_size if listed is None else listed["filesize"]
    try:
        header = gguf.preflight(path)
    except (GPT4AllError, OSError) as error:
        if strict:
            raise
        return {**facts, "kind": "unusable", "fits": None, "error": str(error)}
    if listed is None:
        facts["size"] = sum(part.stat().st_size for part in header.split_paths or (path,))
    facts |= _of_header(header)
    needed = _memory_needed(path, header.usual_context if n_ctx is None else n_ctx)
    free = free_memory()
    return {
        **facts,
        "memory_needed": needed,
        "memory_free": free,
        "fits": None if needed is None or free is None else needed <= free,
    }


def _of_header(header: GGUFHeader) -> dict[str, Any]:
    told = header.metadata
    return {
        "kind": "embeddings" if header.is_embedding else "text",
        "name": header.name,
        "architecture": header.architecture,
        "parameters": told.get("general.size_label"),
        "quantisation": _file_type(told.get("general.file_type")),
        "context_length": header.context_length,
        "licence": told.get("general.license"),
        "chat_template": told.get("tokenizer.chat_template"),
    }


def _file_type(number: object) -> str | None:
    return _FILE_TYPES[number] or None if isinstance(number, int) and 0 <= number < len(_FILE_TYPES) else None


def _memory_needed(path: Path, n_ctx: int) -> int | None:
    """In bytes; ``None`` where the engine cannot tell."""
    from gpt4all import GPT4AllError
    from gpt4all.engine.placement import memory_needed

    try:
        return memory_needed(path, n_ctx=n_ctx)
    except GPT4AllError:
        return None


def size_text(size: int) -> str:
    """Bytes for people, in the decimal units of file managers."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def memory_text(size: int | None) -> str:
    return "?" if size is None else size_text(size)
