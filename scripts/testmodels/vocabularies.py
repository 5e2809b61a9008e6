"""Small vocabularies of every kind llama.cpp has, complete enough to take any UTF-8 text.

Each is a plain description; ``add_to`` writes it. No token text may occur twice: llama.cpp aborts on that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import gguf

Kind = gguf.TokenType

SPACE = "\u2581"
PRINTABLE = "".join(map(chr, range(33, 127)))
WORDS = ("the", "and", "that", "there", "in", "ing", "on", "one", "of", "is", "was", "red", "blue", "no", "yes")
BEYOND_ASCII = ("é", "ü", "ß", "中", "国", "😀")

CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('this model takes no system message') }}{% endif %}"
    "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass
class Vocabulary:
    """Tokens with their types, and what the tokenizer needs beside them."""

    model: str
    pre: str = "default"
    tokens: list[str] = field(default_factory=list)
    types: list[gguf.TokenType] = field(default_factory=list)
    scores: list[float] | None = None
    merges: list[str] = field(default_factory=list)
    special: dict[str, int] = field(default_factory=dict)
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_space_prefix: bool | None = None
    chat_template: str | None = None
    type_count: int | None = None

    def add(self, texts: Iterable[str], kind: gguf.TokenType = Kind.NORMAL) -> None:
        for text in texts:
            self.tokens.append(text)
            self.types.append(kind)

    def add_to(self, writer: gguf.GGUFWriter) -> None:
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a token occurs twice")
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores is not None:
            writer.add_token_scores(self.scores)
        if self.merges:
            writer.add_token_merges(self.merges)
        for name, token in self.special.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
        for name, flag in (
            ("bos_token", self.add_bos),
            ("eos_token", self.add_eos),
            ("space_prefix", self.add_space_prefix),
        ):
            if flag is not None:
                writer.add_bool(f"tokenizer.ggml.add_{name}", flag)
        if self.chat_template:
            writer.add_chat_template(self.chat_template)
        if self.type_count:
            writer.add_token_type_count(self.type_count)


def spm(template: str | None = CHATML) -> Vocabulary:
    """SentencePiece BPE as Llama has it: byte tokens for what has no piece, a space put in front."""
    made = Vocabulary("llama", special={"bos": 1, "eos": 2, "unknown": 0}, add_bos=True, add_eos=False)
    made.add(["<unk>"], Kind.UNKNOWN)
    made.add(["<s>", "</s>"], Kind.CONTROL)
    _add_pieces(made)
    made.add(["<|im_start|>", "<|im_end|>"], Kind.CONTROL)
    made.scores = _merge_scores(made)
    made.chat_template = template
    return made


def gemma_spm(template: str | None = GEMMA_TEMPLATE) -> Vocabulary:
    """The same with Gemma's control tokens in Gemma's order, no space in front."""
    made = Vocabulary("llama", special={"bos": 2, "eos": 1, "unknown": 3, "padding": 0})
    made.add_bos, made.add_eos, made.add_space_prefix = True, False, False
    made.add(["<pad>", "<eos>", "<bos>"], Kind.CONTROL)
    made.add(["<unk>"], Kind.UNKNOWN)
    _add_pieces(made)
    made.add(["<start_of_turn>", "<end_of_turn>"], Kind.CONTROL)
    made.scores = _merge_scores(made)
    made.chat_template = template
    return made


def bpe(template: str | None = CHATML) -> Vocabulary:
    """Byte-level BPE as GPT-2 has it: every byte is a printable character, nothing is ever unknown."""
    made = Vocabulary("gpt2", "gpt-2", add_bos=False)
    byte_characters = gpt2_bytes()
    made.add(byte_characters)
    # Words with their space come first: an earlier merge wins, and "t h" would keep "Ġ t" from happening.
    for text in (*(byte_characters[ord(" ")] + word for word in WORDS), *WORDS):
        for end in range(2, len(text) + 1):
            if text[:end] not in made.tokens:
                made.add([text[:end]])
                made.merges.append(f"{text[: end - 1]} {text[end - 1]}")
    first_control = len(made.tokens)
    made.add(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], Kind.CONTROL)
    made.special = {"bos": first_control, "eos": first_control + (2 if template else 0)}
    made.chat_template = template
    return made


def wordpiece() -> Vocabulary:
    """BERT's WordPiece, lower case, in llama.cpp's form: a word's start is marked, its continuation is bare."""
    names = ("padding", "unknown", "bos", "seperator", "mask")  # llama.cpp spells the separator's key like this
    made = Vocabulary("bert", "jina-v2-en", special=dict(zip(names, range(5), strict=True)), type_count=2)
    made.special["eos"] = made.special["seperator"]
    made.add(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], Kind.CONTROL)
    small = [character for character in PRINTABLE if not character.isupper()]
    made.add(SPACE + character for character in small)
    made.add(character for character in small if character.isalnum())
    made.add(SPACE + word for word in WORDS)
    made.add(["ing", "ed", "er"])
    made.add(SPACE + text for text in ("中", "国"))
    return made


def unigram() -> Vocabulary:
    """T5's unigram model: what has no piece is one unknown token, a text ends with </s>."""
    made = Vocabulary("t5", special={"padding": 0, "eos": 1, "unknown": 2}, add_bos=False, add_eos=True)
    made.add_space_prefix = True
    made.add(["<pad>", "</s>"], Kind.CONTROL)
    made.add(["<unk>"], Kind.UNKNOWN)
    made.add([SPACE, *PRINTABLE, *BEYOND_ASCII])
    made.add(SPACE + word for word in WORDS)
    # Log probabilities: a word costs less than its letters together.
    made.scores = [0.0 if kind is not Kind.NORMAL else -4.0 for kind in made.types]
    return made


def gpt2_bytes() -> list[str]:
    """GPT-2's stand-in for each byte: itself where that is a visible Latin-1 character, else one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(stand_ins)) for byte in range(256)]


def _add_pieces(made: Vocabulary) -> None:
    made.add((f"<0x{byte:02X}>" for byte in range(256)), Kind.BYTE)
    made.add([SPACE, *PRINTABLE, *BEYOND_ASCII])
    starts = (text[:end] for word in WORDS for text in (word, SPACE + word) for end in range(2, len(text) + 1))
    made.add(dict.fromkeys(starts))


def _merge_scores(made: Vocabulary) -> list[float]:
    """SentencePiece BPE joins the pair with the best score first; here, as in trained vocabularies, the earliest."""
    return [-float(index) if kind is Kind.NORMAL else 0.0 for index, kind in enumerate(made.types)]
