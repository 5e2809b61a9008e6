"""Models of random weights in the shape of real ones: for speed and memory, where what they say does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from testmodels import vocabularies

__all__ = ["SHAPES", "Shape", "write_random"]

#: Values of a Q4_0 block, and its bytes: a scale in half precision and a nibble for each value.
_BLOCK, _BLOCK_BYTES = 32, 18
#: The standard deviation of a nibble less 8.
_NIBBLE_DEVIATION = 4.61


@dataclass(frozen=True)
class Shape:
    """The sizes of a model with Llama's architecture."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int


SHAPES = {
    "1.1b": Shape(22, 2048, 32, 4, 5632, 32000),  # TinyLlama
    "8b": Shape(32, 4096, 32, 8, 14336, 128256),  # Llama 3.1
}


def write_random(path: Path, shape: Shape, seed: int = 0) -> None:
    """Writes a Q4_0 file of that shape, about 0.6 bytes for each weight."""
    writer = gguf.GGUFWriter(path, "llama")
    words = vocabularies.spm()
    words.add(f"<{n}>" for n in range(shape.vocabulary - len(words.tokens)))
    if words.scores is not None:
        words.scores += [-1e4] * (shape.vocabulary - len(words.scores))
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(f"random weights, {path.stem}")
    writer.add_context_length(8192)
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    words.add_to(writer)
    _add_tensors(writer, shape, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensors(writer: gguf.GGUFWriter, shape: Shape, random: np.random.Generator) -> None:
    def matrix(name: str, rows: int, columns: int) -> None:
        blocks = rows * columns // _BLOCK
        # One row of blocks is drawn, and told from the next by its scales alone: drawing gigabytes takes minutes.
        scales = random.uniform(0.5, 1.5, blocks) / (_NIBBLE_DEVIATION * columns**0.5)
        data: npt.NDArray[np.uint8] = np.empty((blocks, _BLOCK_BYTES), dtype=np.uint8)
        data[:, :2] = scales.astype("<f2").view(np.uint8).reshape(blocks, 2)
        nibbles = random.integers(0, 256, (columns // _BLOCK, _BLOCK_BYTES - 2), dtype=np.uint8)
        data[:, 2:] = np.tile(nibbles, (rows, 1))
        writer.add_tensor(f"{name}.weight", data.reshape(rows, -1), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(shape.width, dtype=np.float32))

    kv_width = shape.width // shape.heads * shape.kv_heads
    matrix("token_embd", shape.vocabulary, shape.width)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        norm(f"{prefix}attn_norm")
        matrix(f"{prefix}attn_q", shape.width, shape.width)
        matrix(f"{prefix}attn_k", kv_width, shape.width)
        matrix(f"{prefix}attn_v", kv_width, shape.width)
        matrix(f"{prefix}attn_output", shape.width, shape.width)
        norm(f"{prefix}ffn_norm")
        matrix(f"{prefix}ffn_gate", shape.feed_forward, shape.width)
        matrix(f"{prefix}ffn_up", shape.feed_forward, shape.width)
        matrix(f"{prefix}ffn_down", shape.width, shape.feed_forward)
    norm("output_norm")
    matrix("output", shape.vocabulary, shape.width)
