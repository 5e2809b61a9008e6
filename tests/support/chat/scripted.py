"""Real model files that say what a test has written: each token has one that follows it, whatever came before.

The engine, its grammars, formats and parsers are the real ones; only the weights are made up. Greedy text of such a
model after ``<|answer0|>`` is the first answer, after ``<|answer1|>`` the second. A template ends the prompt with
``NEXT``, which counts the assistant's messages for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from testmodels.vocabularies import Kind

from tests.support.chat.models import byte_vocabulary, chat_model
from tests.support.gguf.writer import Tensor, write_gguf

MOST_ANSWERS = 20
#: Enough for random codes of some thousand tokens to be far apart.
CODE = 256

NEXT = "<|answer{{ messages | selectattr('role', 'equalto', 'assistant') | list | length }}|>"
_TURNS = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
_PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n" + NEXT + "{% endif %}"
#: Knows no tools, so calls come in the generic form.
CHATML = _TURNS + _PROMPT


def write_scripted_model(path: Path, answers: Sequence[str], template: str = CHATML, piece: int = 7) -> Path:
    """A model that gives these answers, in tokens of about ``piece`` characters."""
    words = byte_vocabulary(template)
    begins = [f"<|answer{number}|>" for number in range(MOST_ANSWERS)]
    words.add(begins, Kind.CONTROL)
    eos = words.special["eos"]
    follows: dict[int, int] = {}
    for number, begin in enumerate(begins):
        last = words.tokens.index(begin)
        for text in _pieces(answers[number], set(words.tokens), piece) if number < len(answers) else []:
            words.add([text], Kind.USER_DEFINED)
            follows[last] = last = len(words.tokens) - 1
        follows[last] = eos
    metadata, tensors = chat_model(words, "scripted")
    metadata["llama.embedding_length"] = metadata["llama.feed_forward_length"] = CODE
    metadata["llama.attention.head_count"], metadata["llama.rope.dimension_count"] = 4, CODE // 4
    return write_gguf(path, metadata, [_with_weights(tensor, len(words.tokens), follows) for tensor in tensors])


def _pieces(text: str, taken: set[str], size: int) -> list[str]:
    """Its pieces, each a token that is not there yet: longer where it must be."""
    pieces: list[str] = []
    begin = 0
    while begin < len(text):
        end = begin + size
        while text[begin:end] in taken and end < len(text):
            end += 1
        piece = text[begin:end]
        if piece in taken:
            # It is the end of the text, so the piece before gets it too.
            piece = pieces.pop() + piece
        pieces.append(piece)
        taken.add(piece)
        begin = end
    return pieces


def _with_weights(tensor: Tensor, n: int, follows: dict[int, int]) -> Tensor:
    shape = tuple(CODE if size == 32 else size for size in tensor.shape)
    values: npt.NDArray[np.float32]
    if tensor.name == "token_embd.weight":
        values = _codes(n)
    elif tensor.name == "output.weight":
        codes = _codes(n)
        values = np.zeros((n, CODE), dtype=np.float32)
        for token, following in follows.items():
            values[following] += codes[token]
    elif "norm" in str(tensor.name):
        values = np.ones(shape, dtype=np.float32)
    else:
        return Tensor(tensor.name, shape)
    return Tensor(tensor.name, shape, data=values.astype("<f4").tobytes())


def _codes(n: int) -> npt.NDArray[np.float32]:
    bits = np.frombuffer(hashlib.shake_128(b"codes").digest(n * CODE // 8), dtype=np.uint8)
    signs = np.unpackbits(bits).reshape(n, CODE)
    codes: npt.NDArray[np.float32] = signs.astype(np.float32) / np.float32(2) - np.float32(0.25)
    return codes
