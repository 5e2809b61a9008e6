"""Tiny models with random weights: right in structure, meaningless in content, the same bytes on every machine.

The numbers come from SHAKE-128 over the tensor's name, because no library promises its generator's stream for ever.
Layers are scaled so that attention and state really change the next token (a model that only looks at the last token
would not notice a wrong cache), and logits are spread widely, so that greedy paths stay clear of ties. The rows of
control tokens in the output matrix are zero: greedy text never ends by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from testmodels import vocabularies
from testmodels.registry import ModelSpec, find
from testmodels.vocabularies import Kind, Vocabulary

WIDTH = 64
HEADS = 4
KV_HEADS = 2
HEAD_SIZE = WIDTH // HEADS
FEED_FORWARD = 96
LOGIT_SPREAD = 6.0


class Weights:
    """Adds random tensors to a writer; ``seed`` and the tensor's name settle every number."""

    def __init__(self, writer: gguf.GGUFWriter, seed: str, dtype: npt.DTypeLike = np.float32) -> None:
        self.writer = writer
        self.seed = seed
        self.dtype = np.dtype(dtype)

    def uniform(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Numbers with mean 0 and standard deviation 1."""
        raw = hashlib.shake_128(f"{self.seed}/{name}".encode()).digest(4 * int(np.prod(shape)))
        unit = np.frombuffer(raw, dtype="<u4").astype(np.float64) / 2.0**31 - 1.0
        scaled: npt.NDArray[np.float32] = (unit * 3.0**0.5).astype(np.float32)
        return scaled.reshape(shape)

    def add(self, name: str, values: npt.NDArray[np.float32]) -> None:
        self.writer.add_tensor(name, values)

    def matrix(self, name: str, rows: int, columns: int, gain: float = 1.0) -> None:
        """A weight that turns inputs of variance 1 into outputs with standard deviation ``gain``."""
        values = self.uniform(name, (rows, columns)) * np.float32(gain / columns**0.5)
        self.writer.add_tensor(f"{name}.weight", values.astype(self.dtype))

    def embedding(self, name: str, rows: int, columns: int, gain: float = 1.0) -> None:
        values = self.uniform(name, (rows, columns)) * np.float32(gain)
        self.writer.add_tensor(f"{name}.weight", values.astype(self.dtype))

    def norm(self, name: str, size: int) -> None:
        self.add(f"{name}.weight", 1 + self.uniform(name, (size,)) * np.float32(0.1))

    def bias(self, name: str, size: int, middle: float = 0.0) -> None:
        self.add(f"{name}.bias", self.uniform(f"{name}.bias", (size,)) * np.float32(0.1) + np.float32(middle))

    def layer_norm(self, name: str, size: int) -> None:
        self.norm(name, size)
        self.bias(name, size)

    def feed_forward(self, prefix: str, width: int = WIDTH, inner: int = FEED_FORWARD) -> None:
        self.matrix(f"{prefix}ffn_gate", inner, width)
        self.matrix(f"{prefix}ffn_up", inner, width)
        self.matrix(f"{prefix}ffn_down", width, inner, 2.0)

    def output(self, vocabulary: Vocabulary, favoured: Callable[[str, gguf.TokenType], bool]) -> None:
        """The output matrix. Tokens that are not favoured come up only when sampling is hot or they are forced."""
        values = self.uniform("output", (len(vocabulary.tokens), WIDTH)) * np.float32(LOGIT_SPREAD / WIDTH**0.5)
        for row, (text, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True)):
            if kind not in (Kind.NORMAL, Kind.BYTE):
                values[row] = 0
            elif not favoured(text, kind):
                values[row] *= np.float32(0.25)
        self.writer.add_tensor("output.weight", values.astype(self.dtype))


def write(name: str, targets: Sequence[Path]) -> None:
    """Writes the tiny model ``name`` to its file, or to its two files."""
    spec = find(name)
    recipe, seed, vocabulary = _RECIPES[name]
    per_file = 0 if len(targets) == 1 else 16
    # The gguf package forms the names of split files itself, as llama.cpp wants them: stem-00001-of-00002.gguf.
    path = targets[0] if len(targets) == 1 else targets[0].with_name(f"{name}.gguf")
    writer = gguf.GGUFWriter(path, spec.architecture, split_max_tensors=per_file)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(_NAMES.get(name, name))
    writer.add_description("Random weights, for tests only")
    writer.add_context_length(spec.n_ctx_train)
    words = vocabulary()
    recipe(spec, writer, seed, words)
    words.add_to(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def printable(text: str, kind: gguf.TokenType) -> bool:
    """ASCII and whole words: greedy text that can be read and searched for."""
    return kind is Kind.NORMAL and all(c.isascii() or c in (vocabularies.SPACE, "\u0120") for c in text)


def raw_byte(text: str, kind: gguf.TokenType) -> bool:
    return kind is Kind.BYTE and int(text[3:5], 16) >= 0x80


def _add_sizes(writer: gguf.GGUFWriter, layers: int, feed_forward: int = FEED_FORWARD) -> None:
    writer.add_block_count(layers)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(feed_forward)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _attention(
    weights: Weights, prefix: str, kv_heads: int = KV_HEADS, gain: float = 1.5, output: str = "attn_output"
) -> None:
    """Queries and keys are scaled up so that attention picks a few tokens instead of averaging all."""
    weights.matrix(f"{prefix}attn_q", WIDTH, WIDTH, gain)
    weights.matrix(f"{prefix}attn_k", kv_heads * HEAD_SIZE, WIDTH, gain)
    weights.matrix(f"{prefix}attn_v", kv_heads * HEAD_SIZE, WIDTH)
    weights.matrix(f"{prefix}{output}", WIDTH, WIDTH, 1.5)


def _add_heads(writer: gguf.GGUFWriter, rope_freq_base: float) -> None:
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_SIZE)
    writer.add_value_length(HEAD_SIZE)
    writer.add_rope_freq_base(rope_freq_base)


def _decoder(
    weights: Weights,
    words: Vocabulary,
    layers: int,
    *,
    gain: float = 1.0,
    inner: int = FEED_FORWARD,
    head_norms: bool = False,
    post_norms: bool = False,
) -> None:
    """All tensors but the output matrix; later models norm each head too, and what each part adds."""
    weights.embedding("token_embd", len(words.tokens), WIDTH, gain)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        weights.norm(f"{prefix}attn_norm", WIDTH)
        _attention(weights, prefix)
        if head_norms:
            weights.norm(f"{prefix}attn_q_norm", HEAD_SIZE)
            weights.norm(f"{prefix}attn_k_norm", HEAD_SIZE)
        if post_norms:
            weights.norm(f"{prefix}post_attention_norm", WIDTH)
        weights.norm(f"{prefix}ffn_norm", WIDTH)
        weights.feed_forward(prefix, inner=inner)
        if post_norms:
            weights.norm(f"{prefix}post_ffw_norm", WIDTH)
    weights.norm("output_norm", WIDTH)


def _llama(
    spec: ModelSpec,
    writer: gguf.GGUFWriter,
    seed: str,
    words: Vocabulary,
    favoured: Callable[[str, gguf.TokenType], bool] = printable,
) -> None:
    layers = 2
    _add_sizes(writer, layers)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_SIZE)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(words.tokens))
    weights = Weights(writer, seed)
    _decoder(weights, words, layers)
    weights.output(words, favoured)


def _llama_bytes(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    _llama(spec, writer, seed, words, raw_byte)


def _gemma(
    spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary, has_window: Sequence[bool]
) -> Weights:
    """``has_window`` tells for each layer whether its attention slides."""
    _add_sizes(writer, len(has_window), WIDTH)
    _add_heads(writer, 1_000_000.0)
    writer.add_sliding_window(32)
    writer.add_array(f"{spec.architecture}.attention.sliding_window_pattern", has_window)
    weights = Weights(writer, seed)
    # The engine multiplies Gemma's embeddings by the square root of their width.
    _decoder(weights, words, len(has_window), gain=WIDTH**-0.5, inner=WIDTH, head_norms=True, post_norms=True)
    return weights


def _gemma3(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    _gemma(spec, writer, seed, words, [True, True, False]).output(words, printable)


STATE = 16
INNER = 2 * WIDTH
CONVOLUTION = 4
STEP_RANK = 4


def _add_state_sizes(writer: gguf.GGUFWriter) -> None:
    writer.add_ssm_conv_kernel(CONVOLUTION)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(STEP_RANK)


def _mamba_layer(weights: Weights, prefix: str) -> None:
    weights.matrix(f"{prefix}ssm_in", 2 * INNER, WIDTH, 1.5)
    convolution = weights.uniform(f"{prefix}ssm_conv1d", (INNER, CONVOLUTION)) * np.float32(0.7)
    weights.add(f"{prefix}ssm_conv1d.weight", convolution)
    weights.bias(f"{prefix}ssm_conv1d", INNER)
    weights.matrix(f"{prefix}ssm_x", STEP_RANK + 2 * STATE, INNER, 2.0)
    weights.matrix(f"{prefix}ssm_dt", INNER, STEP_RANK)
    weights.bias(f"{prefix}ssm_dt", INNER, -2.0)
    # Each state decays at a rate of its own, from slow to fast.
    weights.add(f"{prefix}ssm_a", np.tile(-np.arange(1, STATE + 1, dtype=np.float32), (INNER, 1)))
    weights.add(f"{prefix}ssm_d", np.ones(INNER, dtype=np.float32))
    weights.matrix(f"{prefix}ssm_out", WIDTH, INNER, 3.0)


def _mamba(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    layers = 2
    _add_sizes(writer, layers, 0)
    writer.add_head_count(0)
    _add_state_sizes(writer)
    weights = Weights(writer, seed)
    weights.embedding("token_embd", len(words.tokens), WIDTH)
    for layer in range(layers):
        weights.norm(f"blk.{layer}.attn_norm", WIDTH)
        _mamba_layer(weights, f"blk.{layer}.")
    weights.norm("output_norm", WIDTH)
    weights.output(words, printable)


def _jamba(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    kv_heads = [0, KV_HEADS]  # none: a recurrent layer
    _add_sizes(writer, len(kv_heads), WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    _add_state_sizes(writer)
    weights = Weights(writer, seed)
    weights.embedding("token_embd", len(words.tokens), WIDTH)
    for layer, heads in enumerate(kv_heads):
        prefix = f"blk.{layer}."
        weights.norm(f"{prefix}attn_norm", WIDTH)
        if heads:
            _attention(weights, prefix, heads)
        else:
            _mamba_layer(weights, prefix)
            weights.norm(f"{prefix}ssm_dt_norm", STEP_RANK)
            weights.norm(f"{prefix}ssm_b_norm", STATE)
            weights.norm(f"{prefix}ssm_c_norm", STATE)
        weights.norm(f"{prefix}ffn_norm", WIDTH)
        weights.feed_forward(prefix, inner=WIDTH)
    weights.norm("output_norm", WIDTH)
    weights.output(words, printable)


def _t5(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    encoder_layers, decoder_layers, buckets = 2, 1, 32
    _add_sizes(writer, encoder_layers)
    writer.add_uint32("t5.decoder_block_count", decoder_layers)
    writer.add_head_count(HEADS)
    writer.add_key_length(HEAD_SIZE)
    writer.add_value_length(HEAD_SIZE)
    writer.add_relative_attn_buckets_count(buckets)
    writer.add_decoder_start_token_id(words.special["padding"])
    weights = Weights(writer, seed)
    # T5 does not divide scores by the square root of the head size.
    gain = 0.7
    weights.embedding("token_embd", len(words.tokens), WIDTH)
    for stack, layers in (("enc", encoder_layers), ("dec", decoder_layers)):
        for layer in range(layers):
            prefix = f"{stack}.blk.{layer}."
            weights.norm(f"{prefix}attn_norm", WIDTH)
            _attention(weights, prefix, HEADS, gain, "attn_o")
            if layer == 0:  # the other layers of a stack use the first one's
                weights.add(f"{prefix}attn_rel_b.weight", weights.uniform(f"{prefix}attn_rel_b", (buckets, HEADS)))
            if stack == "dec":
                weights.norm(f"{prefix}cross_attn_norm", WIDTH)
                _attention(weights, f"{prefix}cross_", HEADS, gain, "attn_o")
            weights.norm(f"{prefix}ffn_norm", WIDTH)
            weights.feed_forward(prefix)
        weights.norm(f"{stack}.output_norm", WIDTH)
    weights.output(words, printable)


def _add_encoder_sizes(
    writer: gguf.GGUFWriter,
    layers: int,
    width: int,
    feed_forward: int,
    pooling: gguf.PoolingType = gguf.PoolingType.MEAN,
    heads: int = HEADS,
) -> None:
    writer.add_block_count(layers)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)


def _bert(
    spec: ModelSpec,
    writer: gguf.GGUFWriter,
    seed: str,
    words: Vocabulary,
    pooling: gguf.PoolingType = gguf.PoolingType.MEAN,
    heads: int = HEADS,
) -> None:
    layers = 2
    _add_encoder_sizes(writer, layers, WIDTH, FEED_FORWARD, pooling, heads)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    weights = Weights(writer, seed)
    weights.embedding("token_embd", len(words.tokens), WIDTH)
    weights.embedding("position_embd", spec.n_ctx_train, WIDTH, 0.5)
    weights.embedding("token_types", 2, WIDTH, 0.1)
    weights.layer_norm("token_embd_norm", WIDTH)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        _attention(weights, prefix, HEADS)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.bias(f"{prefix}{part}", WIDTH)
        weights.layer_norm(f"{prefix}attn_output_norm", WIDTH)
        weights.matrix(f"{prefix}ffn_up", FEED_FORWARD, WIDTH)
        weights.bias(f"{prefix}ffn_up", FEED_FORWARD)
        weights.matrix(f"{prefix}ffn_down", WIDTH, FEED_FORWARD)
        weights.bias(f"{prefix}ffn_down", WIDTH)
        weights.layer_norm(f"{prefix}layer_output_norm", WIDTH)


def _bert_cls(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    # Heads of 32, as in all-MiniLM: the package computes such a model itself.
    _bert(spec, writer, seed, words, gguf.PoolingType.CLS, heads=WIDTH // 32)


def _bert_rank(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    _bert(spec, writer, seed, words, gguf.PoolingType.RANK)
    weights = Weights(writer, seed)
    weights.matrix("cls", WIDTH, WIDTH)
    weights.bias("cls", WIDTH)
    weights.matrix("cls.output", 1, WIDTH)
    weights.bias("cls.output", 1)


def _qwen3_embedding(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    layers = 2
    _add_sizes(writer, layers)
    _add_heads(writer, 10_000.0)
    writer.add_pooling_type(gguf.PoolingType.LAST)
    _decoder(Weights(writer, seed), words, layers, head_norms=True)


def _gemma_embedding(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    # Of both kinds: the engine fails where a model has none with a window, or none without.
    _gemma(spec, writer, seed, words, [True, False])
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def _nomic_bert(spec: ModelSpec, writer: gguf.GGUFWriter, seed: str, words: Vocabulary) -> None:
    """Wider than 64, so that a shortened vector is neither too short to be allowed nor the whole one."""
    layers, width = 2, 96
    _add_encoder_sizes(writer, layers, width, width)
    writer.add_rope_freq_base(1000.0)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    weights = Weights(writer, seed, np.float16)
    weights.embedding("token_embd", len(words.tokens), width)
    weights.add("token_types.weight", weights.uniform("token_types", (2, width)) * np.float32(0.1))
    weights.layer_norm("token_embd_norm", width)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        weights.matrix(f"{prefix}attn_qkv", 3 * width, width, 1.5)
        weights.matrix(f"{prefix}attn_output", width, width)
        weights.layer_norm(f"{prefix}attn_output_norm", width)
        weights.feed_forward(prefix, width, width)
        weights.layer_norm(f"{prefix}layer_output_norm", width)


Recipe = Callable[[ModelSpec, gguf.GGUFWriter, str, Vocabulary], None]

# A name that Embed4All knows, for its handling of prefixes and shortened vectors.
_NAMES = {"tiny-nomic-bert": "nomic-embed-text-v1.5"}

# The seeds are those, of 1500, whose greedy paths after registry.GREEDY_PROMPTS keep farthest from a tie without going
# round in a small circle: the two best logits are at least 0.039 apart for 64 tokens, where another batch size changes
# logits by up to 0.005 after prompts of that length (by up to 0.03 after hundreds of tokens).
_RECIPES: dict[str, tuple[Recipe, str, Callable[[], Vocabulary]]] = {
    "tiny-llama": (_llama, "llama 1403", vocabularies.spm),
    "tiny-llama-split": (_llama, "llama 1403", vocabularies.spm),
    "tiny-llama-bytes": (_llama_bytes, "llama 176", lambda: vocabularies.spm(None)),
    "tiny-llama-bpe": (_llama, "llama-bpe 361", vocabularies.bpe),
    "tiny-gemma3": (_gemma3, "gemma3 1325", vocabularies.gemma_spm),
    "tiny-mamba": (_mamba, "mamba 129", lambda: vocabularies.bpe(None)),
    "tiny-jamba": (_jamba, "jamba 415", lambda: vocabularies.spm(None)),
    "tiny-t5": (_t5, "t5 1477", vocabularies.unigram),
    "tiny-bert": (_bert, "bert 0", vocabularies.wordpiece),
    "tiny-nomic-bert": (_nomic_bert, "nomic-bert 0", vocabularies.wordpiece),
    "tiny-bert-cls": (_bert_cls, "bert 0", vocabularies.wordpiece),
    "tiny-bert-rank": (_bert_rank, "bert 0", vocabularies.wordpiece),
    "tiny-qwen3-embedding": (_qwen3_embedding, "qwen3 0", lambda: vocabularies.bpe(None)),
    "tiny-gemma-embedding": (_gemma_embedding, "gemma-embedding 0", lambda: vocabularies.gemma_spm(None)),
}
