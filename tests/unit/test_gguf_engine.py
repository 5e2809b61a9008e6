"""The tables in ``gpt4all/gguf/engine_facts.py`` against the engine's own source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nativebuild.fetch import cached_source

from gpt4all.gguf import engine_facts as engine


@pytest.fixture(scope="module")
def source() -> Path:
    folder = cached_source()
    if folder is None:
        pytest.skip("the engine's source is not in the build cache; scripts/dev fetch-llama-cpp puts it there")
    return folder


def text(source: Path, name: str) -> str:
    return (source / name).read_text(encoding="utf-8")


def body(code: str, signature: str) -> str:
    """The function or table that begins with ``signature``, up to the brace that closes it."""
    start = code.index(signature)
    return code[start : re.compile(r"^\}", re.MULTILINE).search(code, start).start()]  # type: ignore[union-attr]


def named(source: Path) -> dict[str, str]:
    table = body(text(source, "src/llama-arch.cpp"), "LLM_ARCH_NAMES")
    return dict(re.findall(r"\{\s*(LLM_ARCH_\w+),\s*\"([^\"]+)\"", table))


def assert_same(ours: set[str], theirs: set[str]) -> None:
    assert not ours ^ theirs, f"add {sorted(theirs - ours)}, remove {sorted(ours - theirs)}"


def test_architectures(source: Path) -> None:
    names = named(source)
    mapping = body(text(source, "src/llama-model.cpp"), "static llama_model * llama_model_mapping(")
    assert_same(set(engine.ARCHITECTURES), {names[case] for case in re.findall(r"case (LLM_ARCH_\w+):", mapping)})


def test_embedding_architectures(source: Path) -> None:
    """Those whose graph attends without a cache, less the ones that generate or draw in other ways."""
    names = named(source)
    memory = body(text(source, "src/llama-model.cpp"), "llama_memory_i * llama_model::create_memory(")
    without_memory = {names[case] for case in re.findall(r"case (LLM_ARCH_\w+):", memory.split("res = nullptr")[0])}
    # The one architecture that shares its code with a generating one and asks for the cacheless graph.
    if "graph<true>" in text(source, "src/models/llama-embed.cpp"):
        without_memory.add("llama-embed")
    diffusion = body(text(source, "src/llama-arch.cpp"), "bool llm_arch_is_diffusion(")
    without_memory -= {names[case] for case in re.findall(r"case (LLM_ARCH_\w+):", diffusion)}
    decoder = body(text(source, "src/llama-model.cpp"), "bool llama_model_has_decoder(")
    encoders = {names[case] for case in re.findall(r"case (LLM_ARCH_\w+):\s*return false", decoder)}
    assert_same(set(engine.EMBEDDING_ARCHITECTURES), (without_memory | encoders) - set(engine.COMPANION_ARCHITECTURES))


def test_rope_scaling_types(source: Path) -> None:
    table = body(text(source, "src/llama-model.cpp"), "LLAMA_ROPE_SCALING_TYPES =")
    assert_same(set(engine.ROPE_SCALING_TYPES), set(re.findall(r"\"(\w+)\"", table)))


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("GGUF_VERSION", "ggml/include/gguf.h", engine.NEWEST_GGUF_VERSION),
        ("GGML_MAX_DIMS", "ggml/include/ggml.h", engine.MAX_DIMENSIONS),
        ("GGML_MAX_NAME", "ggml/include/ggml.h", engine.MAX_TENSOR_NAME_BYTES + 1),
        ("LLAMA_MAX_LAYERS", "src/llama-hparams.h", engine.MAX_LAYERS),
        ("LLAMA_MAX_EXPERTS", "src/llama-hparams.h", engine.MAX_EXPERTS),
    ],
)
def test_limits(name: str, file: str, expected: int, source: Path) -> None:
    found = re.search(rf"define {name}\s+(\d+)", text(source, file))
    assert found is not None
    assert int(found[1]) == expected


def test_tensor_types(source: Path) -> None:
    header = text(source, "ggml/include/ggml.h")
    ids = {name: int(number) for name, number in re.findall(r"^\s*GGML_TYPE_(\w+)\s*=\s*(\d+),", header, re.MULTILINE)}
    count = ids.pop("COUNT")
    assert {name: number for number, (name, _, _) in engine.TENSOR_TYPES.items()} == ids
    assert set(engine.REMOVED_TENSOR_TYPES) == set(range(count)) - set(ids.values())


PLAIN_SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F64": 8}
C_SIZES = {"ggml_half": 2, "uint8_t": 1, "uint16_t": 2, "int16_t": 2, "uint32_t": 4, "float": 4}


@pytest.mark.parametrize("name", [name for name, _, _ in engine.TENSOR_TYPES.values()])
def test_block_sizes(name: str, source: Path) -> None:
    """The engine asserts each block's size as an expression over constants; work it out."""
    common = text(source, "ggml/src/ggml-common.h")
    traits = re.search(
        rf"\[GGML_TYPE_{name}\] = \{{.*?blck_size\s*=\s*(\w+),.*?type_size\s*=\s*sizeof\((\w+)\)",
        text(source, "ggml/src/ggml.c"),
        re.DOTALL,
    )
    assert traits is not None
    constants = {key: int(value) for key, value in re.findall(r"define (\w+) (\d+)\s", common)}
    constants["IQ3S_N_SCALE"] = constants["QK_K"] // 64
    expected = PLAIN_SIZES.get(name)
    if expected is None:
        rule = re.search(rf"static_assert\(sizeof\({traits[2]}\) == (.+?), \"", common)
        assert rule is not None
        expression = re.sub(r"sizeof\((\w+)\)", lambda found: str(C_SIZES[found[1]]), rule[1]).replace("/", "//")
        assert re.fullmatch(r"[\w\s()+*/-]+", expression)
        expected = eval(expression, {"__builtins__": {}}, constants)
    block_elements = int(traits[1]) if traits[1].isdigit() else constants[traits[1]]
    ours = next(value for value in engine.TENSOR_TYPES.values() if value[0] == name)
    assert ours == (name, block_elements, expected)


def test_types_without_a_product(source: Path) -> None:
    code = text(source, "ggml/src/ggml-cpu/ggml-cpu.c")
    table = body(code, "static const struct ggml_type_traits_cpu type_traits_cpu[GGML_TYPE_COUNT]")
    entries = re.findall(r"\n    \[GGML_TYPE_(\w+)\]\s*=\s*\{(.*?)\n    \}", table, re.DOTALL)
    with_product = {name for name, content in entries if re.search(r"\.vec_dot\b", content)}
    assert len(with_product) > 20
    assert_same(set(engine.TYPES_WITHOUT_PRODUCT), {name for name, _, _ in engine.TENSOR_TYPES.values()} - with_product)


def test_pooling_types(source: Path) -> None:
    numbers = re.findall(r"LLAMA_POOLING_TYPE_\w+\s*=\s*(-?\d+)", text(source, "include/llama.h"))
    assert max(map(int, numbers)) == engine.LAST_POOLING_TYPE


#: By file of the engine, what its models' graphs and shapes divide by. Each is in ``DIVISORS`` or
#: ``EXPERT_SIZE_DIVIDES``, asked for zero in place, or no number of the file.
DIVISIONS = """
afmoe: hparams.n_no_rope_layer_step
bert: hparams.moe_every_n_layers
deepseek2: hparams.n_head
deepseek4: hc n_groups o_groups
delta-net-base: CS H_k
dflash: group_size hparams.dflash_conv_group_size o_groups
ernie4-5-moe: hparams.n_moe_layer_step
falcon-h1: ssm_n_groups
gemma2: hparams.n_head
gemma3: hparams.n_head
glm4-moe: n_expert_used
glm5-next: hc hparams.indexer_kpool kpool
granite-hybrid: n_group
grovemoe: hparams.n_group_experts n_expert_used
hy-v3: n_expert_used
kimi-k3: beta linear_beta res_bs
lfm2: n_chunks
llada-moe: n_expert_used
llama4: hparams.n_moe_layer_step hparams.n_no_rope_layer_step
mamba-base: n_group n_head
mamba2: n_group
mellum: n_expert_used
minimax-01: full_attn_interval n_layer
minimax-m3: Gp HKV blk
nanbeige: n_phys
nemotron-h: int64_t n_expert_used_i n_group
nomic-bert-moe: hparams.moe_every_n_layers
olmo2: n_head
phimoe: n_head
plamo2: n_heads
qwen2moe: n_expert_used
qwen35: full_attn_interval num_k_heads num_v_heads
qwen35moe: full_attn_interval n_expert_used num_k_heads num_v_heads
qwen3moe: n_expert_used
qwen3next: full_attn_interval n_expert_used num_k_heads num_v_heads
qwen3vlmoe: n_expert_used
qwen4exp: full_attn_interval hparams.ple_head_vocab_sizes n_expert_used num_k_heads r ratio
rnd1: n_expert_used
rwkv6-base: head_size n_head n_head_kv
rwkv6: head_size hparams.rescale_every_n_layers
rwkv6qwen2: head_size
rwkv7-base: head_count head_size
smallthinker: hparams.n_no_rope_layer_step
smollm3: hparams.n_no_rope_layer_step
"""


def test_divisions(source: Path) -> None:
    """A new one is a floating point exception in waiting: find out whether a file can make it divide by zero."""
    found = set()
    uninteresting = re.compile(r"n_(stream|seqs|tokens|ubatch|blocks|pos)$|sqrt|std|float|hparams\.f_|freq_scale$")
    for path in (source / "src/models").glob("*.cpp"):
        code = re.sub(r"//.*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|#include.*", "", path.read_text(encoding="utf-8"))
        divisors = re.findall(r"[/%][ \t]*\(?([A-Za-z_][\w.]*)", code)
        found |= {f"{path.stem}: {divisor}" for divisor in divisors if not uninteresting.match(divisor)}
    lines = (line.split(": ") for line in DIVISIONS.strip().splitlines())
    assert_same({f"{name}: {divisor}" for name, divisors in lines for divisor in divisors.split()}, found)


def test_divisors_belong_to_architectures() -> None:
    named = set(engine.EXPERT_SIZE_DIVIDES).union(*engine.DIVISORS.values())
    assert named <= engine.ARCHITECTURES
    assert engine.DIVISORS.keys() >= engine.DEFAULTED_DIVISORS
