"""The header preflight on files that converters wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from testmodels import MODELS

from gpt4all.errors import InvalidModelError
from gpt4all.gguf.preflight import preflight, read_header

pytestmark = pytest.mark.model


@pytest.mark.parametrize("name", MODELS)
def test_facts(name: str, model_file: Callable[[str], Path]) -> None:
    spec = MODELS[name]
    header = preflight(model_file(name))
    assert header.architecture == spec.architecture
    assert header.context_length == spec.n_ctx_train
    assert header.is_embedding is (not spec.generates)
    assert header.file_size == spec.files[0].size
    assert [path.name for path in header.split_paths] == [file.name for file in spec.files]


def test_half_a_download(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    with open(model_file("gemma3"), "rb") as whole:
        content = whole.read(1 << 23)
    part = tmp_path / "half.gguf"
    for size in (1 << 16, 1 << 22, 1 << 23):
        part.write_bytes(content[:size])
        with pytest.raises(InvalidModelError, match="truncated"):
            read_header(part)
