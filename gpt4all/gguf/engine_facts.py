"""What the pinned llama.cpp knows about model files.

Facts from its sources, kept here so that a file can be judged before any
library is loaded. ``tests/unit/test_gguf_engine.py`` compares the tables with
the source tree that ``LLAMA_CPP_SOURCE_DIR`` names and says what to add and
what to remove: after moving the pin, run that test and edit.
"""

from __future__ import annotations

NEWEST_GGUF_VERSION = 3
MAX_DIMENSIONS = 4
MAX_TENSOR_NAME_BYTES = 63
MAX_LAYERS = 512
MAX_EXPERTS = 1024
LAST_POOLING_TYPE = 4

ARCHITECTURES: frozenset[str] = frozenset(
    """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bert bitnet bloom chameleon chatglm
    clip codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4
    dflash dots1 dots3note dream eagle3 ernie4_5 ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1
    gemma gemma-embedding gemma2 gemma3 gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2
    gptneox granite granite_swa granitehybrid granitemoe graniteswitch grok grovemoe hrm_text hunyuan-dense
    hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 jamba jina-bert-v2 jina-bert-v3 kimi-k3 kimi-linear
    laguna lfm2 lfm2moe llada llada-moe llama llama-embed llama4 maincoder mamba mamba2 maple mellum mimo2 minicpm
    minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 modern-bert mpt muse-glimmer nanbeige nemotron
    nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe openelm orion paddleocr
    pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2 qwen2moe qwen2vl qwen3 qwen35
    qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss
    smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse
    """.split()  # noqa: SIM905 - as a list this would take a line for each
)
"""Architectures the engine has both a name and an implementation for (``gptj`` has only a name)."""

EMBEDDING_ARCHITECTURES: frozenset[str] = frozenset(
    """
    bert eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llama-embed modern-bert neo-bert nomic-bert nomic-bert-moe
    t5encoder
    """.split()  # noqa: SIM905 - as a list this would take a line for each
)
"""Architectures whose graph has no memory of earlier tokens, so that they can embed but not generate."""

COMPANION_ARCHITECTURES: dict[str, str] = {
    "clip": "a multimodal projector",
    "controlvector": "a control vector",
    "dflash": "a draft model for speculative decoding",
    "eagle3": "a draft model for speculative decoding",
    "gemma4-assistant": "a draft model for speculative decoding",
    "pockettts": "the text half of a speech synthesiser",
    "wavtokenizer-dec": "an audio decoder",
}
"""Architectures of files that only work beside a model or give no text; the engine refuses or aborts on them alone."""

COMPANION_TYPES: dict[str, str] = {
    "adapter": "a LoRA adapter",
    "imatrix": "an importance matrix, which is an input for quantising",
    "mmproj": "a multimodal projector",
}
"""Values of ``general.type`` that say the file is not a model."""

ROPE_SCALING_TYPES: frozenset[str] = frozenset({"none", "linear", "yarn", "longrope"})

DIVISORS: dict[str, frozenset[str]] = {
    "attention.head_count": frozenset({"deepseek2-ocr", "gemma2", "gemma3", "olmo2", "phimoe"}),
    "attention.head_count_kv": frozenset({"minimax-m3"}),
    "attention.indexer.block_size": frozenset({"minimax-m3"}),
    "attention.output_group_count": frozenset({"deepseek4"}),
    "attn_res.block_size": frozenset({"kimi-k3"}),
    "experts_per_group": frozenset({"grovemoe"}),
    "full_attention_interval": frozenset({"minimax-01", "qwen35", "qwen35moe", "qwen3next"}),
    "interleave_moe_layer_step": frozenset({"ernie4_5-moe"}),
    "ssm.group_count": frozenset(
        {"falcon-h1", "granitehybrid", "mamba2", "nemotron_h", "nemotron_h_moe", "qwen35", "qwen35moe", "qwen3next"}
    ),
    "ssm.time_step_rank": frozenset(
        {
            *("falcon-h1", "granitehybrid", "mamba2", "nemotron_h", "nemotron_h_moe"),
            *("plamo2", "qwen35", "qwen35moe", "qwen3next"),
        }
    ),
    "wkv.head_size": frozenset({"arwkv7", "rwkv6", "rwkv6qwen2", "rwkv7"}),
}
"""Hyper-parameter, without the architecture's prefix → architectures that divide by it, its first layer's if it has a
value for each. The processor ends a program that divides by zero."""

DEFAULTED_DIVISORS = frozenset({"full_attention_interval"})
"""Those of them that the engine has a default for."""

MOST_ROUNDS: dict[str, int] = {"hyper_connection.sinkhorn_iterations": 1000}
"""Hyper-parameter, without the architecture's prefix → more than any model's rounds of it; the engine does them all."""

EXPERT_SIZE_DIVIDES: frozenset[str] = frozenset(
    """
    glm4moe grovemoe llada-moe mellum nemotron_h_moe qwen2moe qwen35moe qwen3moe qwen3next qwen3vlmoe qwen4exp rnd1
    """.split()  # noqa: SIM905 - as a list this would take a line for each
)
"""Architectures that divide by ``expert_used_count`` where ``expert_feed_forward_length`` is 0 or not there."""

TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
"""ggml type id → name, elements in a block, bytes in a block."""

TYPES_WITHOUT_PRODUCT: frozenset[str] = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
"""Types that the engine's matrix product has no function for: it would call a null pointer."""

INDEX_TENSORS = (b".ffn_gate_tid2eid.weight",)
"""Ends of the names of tensors that hold indices, which nothing multiplies."""

REMOVED_TENSOR_TYPES: dict[int, tuple[str, str]] = {
    4: ("Q4_2", "Q4_0"),
    5: ("Q4_3", "Q4_1"),
    31: ("Q4_0_4_4", "Q4_0"),
    32: ("Q4_0_4_8", "Q4_0"),
    33: ("Q4_0_8_8", "Q4_0"),
    36: ("IQ4_NL_4_4", "IQ4_NL"),
    37: ("IQ4_NL_4_8", "IQ4_NL"),
    38: ("IQ4_NL_8_8", "IQ4_NL"),
}
"""Types that older engines wrote and this one has dropped → name, the type to look for instead."""
