"""From the ``device`` argument to a loaded model, on scripted backends with scripted GPUs."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gpt4all import (
    BackendLoadError,
    DeviceError,
    GPT4All,
    InsufficientMemoryError,
    ModelLoadError,
    UnsupportedModelError,
)
from gpt4all._native import loader
from gpt4all._native.backend import Backend, NativeModel
from gpt4all.devices import probe, probe_process
from gpt4all.devices.request import Platform
from tests.support.fake.backend import END, FakeModel, build_fake, build_fake_driver
from tests.support.fake.helpers import EngineLog, worker_threads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scripted drivers are found through LD_LIBRARY_PATH")

GIB = 1 << 30
MIB = 1 << 20


def device(kind: str, total: int, free: int, name: str, id: str) -> str:
    return f'{{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_{kind}, {total}, {free}, "GPU", "{name}", "{id}", "Fake"}},'


IRIS = device("INTEGRATED_GPU", 30 * GIB, 12 * GIB, "Intel Iris Xe", "0000:00:02.0")
RTX = device("GPU", 24 * GIB, 8 * GIB, "NVIDIA RTX 4090", "0000:0a:00.0")
RTX_2 = device("GPU", 24 * GIB, 10 * GIB, "NVIDIA RTX 4090", "0000:02:00.0")
LLVMPIPE = device("SOFTWARE_GPU", 16 * GIB, 16 * GIB, "llvmpipe", "")
M1 = device("INTEGRATED_GPU", 16 * GIB, 8 * GIB, "Apple M1", "")

# As the engine counts, the processor being 0.
KOMPUTE = {1: "Intel Iris Xe", 2: "NVIDIA RTX 4090", 3: "NVIDIA RTX 4090 (2)", 4: "llvmpipe"}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory, fake_library: Path) -> Path:
    """Directories of backends: ``all``, ``kompute`` alone beside the CPU, and so on."""
    root = tmp_path_factory.mktemp("backends")
    build_fake(root / "cuda", "cuda", FAKE_DEVICES=RTX + RTX_2)
    build_fake(root / "kompute", "kompute", FAKE_DEVICES=IRIS + RTX + RTX_2 + LLVMPIPE)
    build_fake(root / "one-left", "kompute", FAKE_DEVICES=IRIS + RTX_2)
    build_fake(root / "none-left", "kompute")
    build_fake(root / "no-room", "kompute", FAKE_DEVICES=RTX, FAKE_LOAD_STATUS="GPT4ALL_ERROR_OUT_OF_MEMORY")
    build_fake(root / "broken", "kompute", FAKE_DEVICES=RTX, FAKE_LOAD_STATUS="GPT4ALL_ERROR_MODEL_LOAD")
    build_fake(root / "metal", "metal", FAKE_DEVICES=M1)
    build_fake(root / "no-metal", "metal", FAKE_INIT_STATUS="GPT4ALL_ERROR_INTERNAL")
    build_fake_driver(root / "drivers")
    return root


Use = Callable[..., None]


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], dict[str, Any]]:
    """What is known of the GPUs, by the backends that are installed; asking takes a process each time."""
    return {}


@pytest.fixture
def use(
    libraries: Path,
    fake_backend: Path,
    known: dict[tuple[str, ...], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Use:
    """``use("cuda", "kompute")``: these backends are installed besides the CPU's."""

    def install(*names: str, software: bool = False) -> None:
        paths = [str(fake_backend), *(str(libraries / name) for name in names)]
        monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, os.pathsep.join(paths))
        monkeypatch.setattr(loader, "_loaded", {})
        if software:
            monkeypatch.setenv(probe.SOFTWARE_VARIABLE, "1")
        monkeypatch.setattr(probe, "_answers", {} if software else known.setdefault(names, {}))

    # Only what is installed here is found, and no driver of this machine is asked. The scripted
    # one knows the first RTX, and others than the rest.
    monkeypatch.setattr(loader, "__file__", str(tmp_path / "nowhere" / "loader.py"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries / "drivers"))
    monkeypatch.delenv(probe.SOFTWARE_VARIABLE, raising=False)
    # As long as it takes, however busy the machine.
    monkeypatch.setattr(probe_process, "TIME_LIMIT", 600.0)
    return install


@pytest.fixture
def apple_silicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Platform, "current", lambda: Platform("darwin", apple_silicon=True))


@pytest.fixture
def load(fake_model: FakeModel) -> Iterator[Callable[..., GPT4All]]:
    """``load(device, weights=...)``: a model of 3 layers, the output counted, with a context of 1 KiB a token."""
    models: list[GPT4All] = []

    def load_model(device: str | None, weights: int = 300 * MIB, **options: Any) -> GPT4All:
        path = fake_model("a", END, weights_bytes=weights, n_ctx_train=1 << 20, log_calls=1)
        models.append(GPT4All(path, device=device, **{"n_ctx": 512, "n_threads": 1, **options}))
        return models[-1]

    yield load_model
    for model in models:
        model.close()
    assert not worker_threads()


Load = Callable[..., GPT4All]

PLACES: list[tuple[str | None, str, str | None]] = [
    (None, "cpu", None),
    ("cpu", "cpu", None),
    # The discrete one with more free memory.
    ("gpu", "kompute", "NVIDIA RTX 4090 (2)"),
    ("kompute", "kompute", "NVIDIA RTX 4090 (2)"),
    ("nvidia", "kompute", "NVIDIA RTX 4090"),
    ("NVIDIA RTX 4090", "kompute", "NVIDIA RTX 4090"),
    ("kompute:Intel Iris Xe", "kompute", "Intel Iris Xe"),
    ("kompute:0", "kompute", "Intel Iris Xe"),
    ("cuda", "cuda", "NVIDIA RTX 4090 (2)"),
    ("cuda:0", "cuda", "NVIDIA RTX 4090"),
    ("auto", "cuda", "NVIDIA RTX 4090 (2)"),
]


def test_every_request_ends_where_it_should(use: Use, load: Load) -> None:
    use("cuda", "kompute")
    for request, backend_name, name in PLACES:
        model = load(request)
        assert (model.backend, model.device, model.fallback_reason) == (backend_name, name, None), request
        assert (model.model.backend, model.model.device) == (backend_name, name)
        assert model.generate("x") == "a"
        info = model._loaded.info
        assert info.n_layers_offloaded == (0 if name is None else 3)
        assert info.device == {None: None, "Intel Iris Xe": 1}.get(name, info.device)


@pytest.mark.parametrize("request_", ["gpu", "cuda:1", "auto"])
def test_no_layers_on_the_gpu(use: Use, load: Load, request_: str) -> None:
    use("cuda", "kompute")
    model = load(request_, ngl=0, weights=100 * GIB)
    assert model.device == "NVIDIA RTX 4090 (2)"
    assert (model._loaded.info.n_layers_offloaded, model._loaded.info.device_bytes) == (0, 0)
    assert model.fallback_reason is None


def test_some_layers_on_the_gpu(use: Use, load: Load) -> None:
    use("kompute")
    # All three would take 15 GiB of 10.
    model = load("gpu", weights=15 * GIB, ngl=1)
    assert (model.device, model._loaded.info.n_layers_offloaded) == ("NVIDIA RTX 4090 (2)", 1)


def test_the_next_device_is_taken_where_the_best_is_too_small(use: Use, load: Load) -> None:
    use("kompute")
    assert load("gpu", weights=11 * GIB).device == "Intel Iris Xe"
    with pytest.raises(InsufficientMemoryError, match="NVIDIA RTX 4090") as caught:
        load("nvidia", weights=11 * GIB)
    assert "not asked for:\n  - kompute:NVIDIA RTX 4090 (2) (discrete" in str(caught.value)
    assert f"kompute:Intel Iris Xe (integrated, {12 * GIB} bytes (12.0 GiB) of" in str(caught.value)


def test_only_the_devices_that_matter_are_asked_for_their_memory(
    use: Use, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA keeps a context on each that is."""
    asked: list[int] = []
    ask = Backend.device

    def note(self: Backend, index: int) -> Any:
        asked.append(index)
        return ask(self, index)

    monkeypatch.setattr(Backend, "device", note)
    monkeypatch.setattr(Backend, "devices", lambda self: pytest.fail("all devices were asked"))
    use("cuda")
    load("cuda")
    assert asked == [2]
    asked.clear()
    load("cuda:0")
    assert asked == [1]


def test_too_little_memory(use: Use, load: Load, engine_log: EngineLog, handles: list[NativeModel]) -> None:
    use("kompute")
    with pytest.raises(InsufficientMemoryError) as caught:
        load("gpu", weights=15 * GIB, n_ctx=1024)
    error = caught.value
    assert isinstance(error, (DeviceError, ValueError))
    # Weights, a KiB for each token of the context, and 4096 bytes of work buffers.
    assert (error.required, error.free) == (15 * GIB + MIB + 4096, 12 * GIB)
    # 3 layers take 15 GiB, 2 take 10, which fits into 12.
    assert (error.max_ngl, error.max_n_ctx) == (2, None)
    message = str(error)
    assert "device='gpu' with n_ctx=1024 and ngl=100" in message
    for index, free in ((1, 12), (2, 8), (3, 10)):
        assert f"kompute:{KOMPUTE[index]} has {free * GIB} bytes ({free}.0 GiB) free" in message
    assert f"{15 * GIB + MIB + 4096} bytes (15.0 GiB) are needed" in message
    assert "What would fit on kompute:Intel Iris Xe: ngl=2 with this n_ctx, no context with this ngl." in message
    # It was only measured.
    assert not handles
    assert not [line for line in engine_log.lines if line.startswith("load ")]
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), vars(copied)) == (message, vars(error))


def test_the_longest_context_that_would_fit(use: Use, load: Load) -> None:
    use("kompute")
    with pytest.raises(InsufficientMemoryError) as caught:
        # 4096 bytes of work buffers leave room for 4092 tokens, of which the engine takes 256 at a time.
        load("NVIDIA RTX 4090", weights=8 * GIB - 4 * MIB, n_ctx=8192)
    assert (caught.value.max_ngl, caught.value.max_n_ctx) == (2, 3840)
    assert "n_ctx=3840 with this ngl" in str(caught.value)
    assert load("NVIDIA RTX 4090", weights=8 * GIB - 4 * MIB, n_ctx=3840).device == "NVIDIA RTX 4090"


def test_the_trained_context_is_measured_too(use: Use, load: Load) -> None:
    use("kompute")
    with pytest.raises(InsufficientMemoryError) as caught:
        load("NVIDIA RTX 4090", weights=7 * GIB + 512 * MIB, n_ctx=None)
    assert f"n_ctx={1 << 20}" in str(caught.value)
    assert caught.value.max_n_ctx == 512 * 1024 - 256


def test_not_even_one_layer(use: Use, load: Load) -> None:
    use("kompute")
    with pytest.raises(InsufficientMemoryError, match="no layer with this n_ctx") as caught:
        load("kompute:1", weights=90 * GIB)
    assert caught.value.max_ngl == 0


def test_auto_goes_down_the_chain(use: Use, load: Load) -> None:
    use("cuda", "kompute")
    model = load("auto", weights=11 * GIB)
    assert (model.backend, model.device) == ("kompute", "Intel Iris Xe")
    assert model.fallback_reason is not None
    assert model.fallback_reason.startswith("cuda: too little memory for device='auto'")
    model = load("auto", weights=90 * GIB)
    assert (model.backend, model.device) == ("cpu", None)
    assert model.fallback_reason is not None
    assert "\nkompute: too little memory" in model.fallback_reason
    assert str(12 * GIB) in model.fallback_reason


def test_auto_without_backends(use: Use, load: Load) -> None:
    use()
    model = load("auto")
    assert model.backend == "cpu"
    assert model.fallback_reason is not None
    for backend_name in ("cuda", "kompute"):
        assert f"{backend_name}: the '{backend_name}' backend could not be loaded" in model.fallback_reason


def test_auto_passes_over_a_driver_that_crashes(use: Use, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> Any:
        raise probe_process.DriverFailureError("it was ended by SIGSEGV")

    use("cuda", "kompute")
    monkeypatch.setattr(probe, "_answers", {})
    monkeypatch.setattr(probe_process, "ask", lambda backend_name: nullcontext(crash))
    model = load("auto")
    assert model.backend == "cpu"
    assert model.fallback_reason is not None
    assert model.fallback_reason.count("SIGSEGV") == 2
    with pytest.raises(DeviceError, match="SIGSEGV"):
        load("gpu")


@pytest.mark.parametrize(
    ("status", "error"), [("UNSUPPORTED_MODEL", UnsupportedModelError), ("MODEL_LOAD", ModelLoadError)]
)
def test_a_file_that_is_no_good_anywhere(
    use: Use, fake_model: FakeModel, handles: list[NativeModel], status: str, error: type[Exception]
) -> None:
    use("cuda", "kompute")
    with pytest.raises(error, match="the reason"):
        GPT4All(fake_model("a", fail_load=(status.encode(), "the reason")), device="auto")
    assert not handles


@pytest.mark.parametrize(("installed", "error"), [("no-room", InsufficientMemoryError), ("broken", ModelLoadError)])
def test_a_gpu_that_fails_although_there_is_room(use: Use, load: Load, installed: str, error: type[Exception]) -> None:
    use(installed)
    with pytest.raises(error, match="compiled to fail"):
        load("gpu")
    model = load("auto")
    assert model.backend == "cpu"
    assert model.fallback_reason is not None
    assert "kompute: this fake was compiled to fail here" in model.fallback_reason


@pytest.mark.parametrize("request_", ["gpu", "cuda", "cuda:0", "intel", "kompute:NVIDIA RTX 4090"])
def test_an_explicit_request_never_ends_on_the_cpu(use: Use, load: Load, request_: str) -> None:
    use()
    with pytest.raises(BackendLoadError, match="could not be loaded"):
        load(request_)


def test_no_device_is_told_before_a_model_is_looked_for(use: Use, tmp_path: Path) -> None:
    use("kompute")
    with pytest.raises(DeviceError, match="RTX 3090"):
        GPT4All("missing.gguf", model_path=tmp_path, allow_download=False, device="RTX 3090")
    with pytest.raises(BackendLoadError, match="'cuda'"):
        GPT4All("missing.gguf", model_path=tmp_path, allow_download=False, device="cuda")
    with pytest.raises(FileNotFoundError):
        GPT4All("missing.gguf", model_path=tmp_path, allow_download=False, device="gpu")


def test_a_software_device(use: Use, load: Load) -> None:
    use("kompute")
    assert "kompute:llvmpipe" not in GPT4All.list_gpus()
    with pytest.raises(DeviceError, match=probe.SOFTWARE_VARIABLE):
        load("llvmpipe")
    use("kompute", software=True)
    assert GPT4All.list_gpus()[-1] == "kompute:llvmpipe"
    assert load("llvmpipe").device == "llvmpipe"


def test_list_gpus_puts_the_best_first(use: Use) -> None:
    use("cuda", "kompute")
    assert GPT4All.list_gpus() == [
        "cuda:NVIDIA RTX 4090 (2)",
        "cuda:NVIDIA RTX 4090",
        "kompute:NVIDIA RTX 4090 (2)",
        "kompute:NVIDIA RTX 4090",
        "kompute:Intel Iris Xe",
    ]


def test_list_gpus_never_raises(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(backend_name: str) -> Any:
        raise RuntimeError("nobody foresaw this")

    use("kompute")
    monkeypatch.setattr(probe, "probe_all", fail)
    assert GPT4All.list_gpus() == []


def test_a_device_that_vanishes(
    use: Use, load: Load, libraries: Path, fake_backend: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the probe and the load another library takes the place of the first, with fewer devices."""

    def vanish(left: str) -> None:
        use("kompute")
        probe.probe("kompute")
        path = os.pathsep.join((str(fake_backend), str(libraries / left)))
        monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, path)

    vanish("one-left")
    with pytest.raises(DeviceError, match="kompute:NVIDIA RTX 4090 was there .*, but is not any more"):
        load("NVIDIA RTX 4090")
    # Those that are left have other numbers, and are found by their place on the bus.
    vanish("one-left")
    model = load("kompute:2")
    assert (model.device, model._loaded.info.device) == ("NVIDIA RTX 4090 (2)", 2)
    vanish("none-left")
    with pytest.raises(DeviceError, match="is not any more"):
        load("gpu")


@pytest.mark.parametrize("request_", [None, "auto", "gpu"])
def test_metal(use: Use, load: Load, apple_silicon: None, request_: str | None) -> None:
    use("metal")
    model = load(request_)
    assert (model.backend, model.device, model.fallback_reason) == ("metal", None, None)
    assert model._loaded.info.n_layers_offloaded == 3
    assert GPT4All.list_gpus() == []


@pytest.mark.parametrize("request_", [None, "auto"])
@pytest.mark.parametrize(
    ("installed", "weights", "reason"),
    [
        (["no-metal"], MIB, "compiled to fail"),
        ([], MIB, "no such file"),
        (["metal"], 9 * GIB, "too little memory"),
    ],
)
def test_without_metal_it_is_the_cpu(
    use: Use, load: Load, apple_silicon: None, request_: str | None, installed: list[str], weights: int, reason: str
) -> None:
    use(*installed)
    model = load(request_, weights=weights)
    assert (model.backend, model.device) == ("cpu", None)
    assert model.fallback_reason is not None
    assert model.fallback_reason.startswith("metal: ")
    assert reason in model.fallback_reason


@pytest.mark.parametrize(
    ("installed", "weights", "error"),
    [("no-metal", MIB, BackendLoadError), ("metal", 9 * GIB, InsufficientMemoryError)],
)
def test_metal_by_name_does_not_fall_back(
    use: Use, load: Load, apple_silicon: None, installed: str, weights: int, error: type[Exception]
) -> None:
    use(installed)
    with pytest.raises(error, match="metal") as caught:
        load("gpu", weights=weights)
    if error is InsufficientMemoryError:
        assert "metal:Apple M1 has" in str(caught.value)


def test_rosetta_is_a_reason(use: Use, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Platform, "current", lambda: Platform("darwin", rosetta=True))
    use()
    for request in (None, "auto"):
        model = load(request)
        assert model.backend == "cpu"
        assert model.fallback_reason is not None
        assert "Rosetta" in model.fallback_reason
    assert load("cpu").fallback_reason is None


SPLITS: list[tuple[list[float], int, str]] = [
    ([0, 1, 1], 2, "NVIDIA RTX 4090 (2)"),
    ([0, 1, 1], 1, "NVIDIA RTX 4090"),
    ([1, 0, 0], 0, "Intel Iris Xe"),
]


@pytest.mark.parametrize(("shares", "main_gpu", "name"), SPLITS)
def test_a_model_on_several_gpus(use: Use, load: Load, shares: list[float], main_gpu: int, name: str) -> None:
    use("kompute")
    model = load("kompute", weights=11 * GIB, tensor_split=shares, main_gpu=main_gpu)
    assert (model.device, model._loaded.info.n_layers_offloaded) == (name, 3)


def test_too_little_memory_for_a_share(use: Use, load: Load) -> None:
    use("kompute")
    with pytest.raises(InsufficientMemoryError, match=r"kompute:NVIDIA RTX 4090 \(2\) has") as caught:
        load("kompute", weights=30 * GIB, tensor_split=[1, 1, 1])
    assert "kompute:NVIDIA RTX 4090 has" in str(caught.value)
    assert "kompute:Intel Iris Xe has" not in str(caught.value)


@pytest.mark.parametrize("request_", ["NVIDIA RTX 4090", "kompute:1", "nvidia", "cuda:0"])
def test_a_split_over_a_chosen_device(use: Use, load: Load, request_: str) -> None:
    use("cuda", "kompute")
    with pytest.raises(ValueError, match="tensor_split .* device="):
        load(request_, tensor_split=[1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tensor_split": [1, 1, 1, 1, 1]}, "tensor_split has more shares than"),
        ({"tensor_split": [0, 0]}, "tensor_split has only shares of 0"),
        ({"tensor_split": [1, 1], "main_gpu": 9}, "main_gpu"),
        ({"main_gpu": 1}, "main_gpu is 1, but only a model that tensor_split spreads has one"),
    ],
)
def test_a_split_that_makes_no_sense(use: Use, load: Load, options: dict[str, Any], message: str) -> None:
    use("kompute")
    with pytest.raises(ValueError, match=message):
        load("kompute", **options)


@pytest.mark.parametrize("how", ["memory", "engine"])
def test_fifty_failures_leave_nothing(
    use: Use, load: Load, fake_model: FakeModel, handles: list[NativeModel], how: str
) -> None:
    use("kompute")
    weights = 90 * GIB if how == "memory" else MIB
    path = fake_model(
        "a", weights_bytes=weights, **({"fail_load": (b"OUT_OF_MEMORY", "no more")} if how == "engine" else {})
    )
    descriptors = []
    for _ in range(50):
        with pytest.raises(InsufficientMemoryError):
            GPT4All(path, device="gpu", n_ctx=64)
        assert not worker_threads()
        gc.collect()
        descriptors.append(len(os.listdir("/proc/self/fd")))
    assert not handles
    assert len(set(descriptors[1:])) == 1


def test_progress_is_told_once_the_place_is_found(use: Use, load: Load) -> None:
    use("cuda", "kompute")
    told: list[float] = []
    load("auto", weights=11 * GIB, progress=told.append)
    assert told == [0, 0.25, 0.5, 0.75, 1]
