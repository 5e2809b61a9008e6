"""Model names, file names and quantisations, as tables."""

from __future__ import annotations

import pytest

from gpt4all.model_files.names import (
    FileReference,
    HubReference,
    Reference,
    UrlReference,
    append_extension_if_missing,
    check_filename,
    choose_quantisation,
    is_projector,
    parse_reference,
    split_names,
)


@pytest.mark.parametrize(
    ("name", "complete"),
    [
        ("model", "model.gguf"),
        ("model.gguf", "model.gguf"),
        ("model.bin", "model.bin"),
        ("model.Q4_0", "model.Q4_0.gguf"),
        ("model.GGUF", "model.GGUF.gguf"),
        ("some/model", "some/model.gguf"),
    ],
)
def test_append_extension(name: str, complete: str) -> None:
    assert append_extension_if_missing(name) == complete


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("model", FileReference("model.gguf")),
        ("model.gguf", FileReference("model.gguf")),
        ("old.bin", FileReference("old.bin")),
        ("/abs/model.gguf", FileReference("/abs/model.gguf")),
        ("models/model.gguf", FileReference("models/model.gguf")),
        ("./model", FileReference("./model.gguf")),
        ("../model", FileReference("../model.gguf")),
        ("a/b/c", FileReference("a/b/c.gguf")),
        ("C:\\models\\x", FileReference("C:\\models\\x.gguf")),
        ("owner/repo", HubReference("owner", "repo")),
        ("owner/repo-GGUF:Q4_K_M", HubReference("owner", "repo-GGUF", None, None, "Q4_K_M")),
        ("o.w-n_er/r.e-p_o@v1.2:q8_0", HubReference("o.w-n_er", "r.e-p_o", "v1.2", None, "q8_0")),
        ("hf://owner/repo", HubReference("owner", "repo")),
        ("hf://owner/repo:F16", HubReference("owner", "repo", None, None, "F16")),
        ("hf://owner/repo/x.gguf", HubReference("owner", "repo", None, "x.gguf")),
        ("hf://owner/repo/sub/x", HubReference("owner", "repo", None, "sub/x.gguf")),
        ("hf://owner/repo@abc123/x.gguf", HubReference("owner", "repo", "abc123", "x.gguf")),
        ("https://host/a/x.gguf", UrlReference("https://host/a/x.gguf", "x.gguf")),
        ("HTTP://host/x%20y.gguf?download=true#f", UrlReference("HTTP://host/x%20y.gguf?download=true#f", "x y.gguf")),
    ],
)
def test_parse(name: str, reference: Reference) -> None:
    assert parse_reference(name) == reference


@pytest.mark.parametrize(
    "name",
    [
        "hf://",
        "hf://owner",
        "hf://owner/",
        "hf:///repo/x.gguf",
        "hf://../repo/x.gguf",
        "hf://owner/../x.gguf",
        "hf://owner/repo/../x.gguf",
        "hf://owner/repo//x.gguf",
        "hf://owner/repo/a\\b.gguf",
        "hf://owner/repo@/x.gguf",
        "https://host/",
        "https://host",
        "https://host/..",
        "https://host/a%2Fb.gguf",
        "https://host/..%5Cx.gguf",
        "https://host/x.gguf%00",
        "file:///etc/passwd",
        "ftp://host/x.gguf",
        "s3://bucket/x.gguf",
    ],
)
def test_unusable(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_reference(name)


def test_addresses_have_folders_of_their_own() -> None:
    def folder(url: str) -> tuple[str, str]:
        reference = parse_reference(url)
        assert isinstance(reference, UrlReference)
        return reference.folder

    assert folder("https://me:secret@Host.Example.:8443/a/x.gguf")[0] == "url@host.example._8443"
    assert folder("https://host/a/x.gguf") == folder("https://me:pw@HOST/a/x.gguf#top")
    different = ["https://h/a/x.gguf", "http://h/a/x.gguf", "https://h/A/x.gguf", "https://h/a/x.gguf?v=2"]
    assert len({folder(url) for url in different}) == 4
    assert folder("https://h/m-00002-of-00002.gguf") == folder("https://h/m-00001-of-00002.gguf")


@pytest.mark.parametrize(
    "name",
    ["nul", "CON.gguf", "com1.gguf", "LPT9", "COM¹.gguf", "lpt³.bin", "conin$.gguf", "CONOUT$", "CLOCK$", "nul .gguf"],
)
def test_names_of_windows_devices(name: str) -> None:
    with pytest.raises(ValueError, match="Windows reserves it"):
        check_filename(name)
    assert check_filename("x" + name).endswith(name)


def test_split_names() -> None:
    names = ["x-00001-of-00003.gguf", "x-00002-of-00003.gguf", "x-00003-of-00003.gguf"]
    for name in names:
        assert split_names(name) == names
    for name in ("x.gguf", "x-00004-of-00003.gguf", "x-00000-of-00003.gguf", "x-1-of-3.gguf", "x-00001-of-00003.bin"):
        assert split_names(name) == [name]


def test_projectors_are_no_models() -> None:
    assert is_projector("mmproj-model-f16.gguf")
    assert is_projector("sub/model-mmproj.gguf")
    assert is_projector("model.imatrix.gguf")
    assert not is_projector("model.gguf")


REPO = [
    "README.md",
    "mmproj-F16.gguf",
    "m-IQ4_XS.gguf",
    "m-Q2_K.gguf",
    "m-Q4_0.gguf",
    "m-Q4_K_M.gguf",
    "m-Q4_K_S.gguf",
    "m-UD-Q4_K_XL.gguf",
    "m.Q8_0.gguf",
    "BF16/m-BF16-00002-of-00002.gguf",
    "BF16/m-BF16-00001-of-00002.gguf",
]


@pytest.mark.parametrize(
    ("paths", "wanted", "chosen"),
    [
        (REPO, None, "m-Q4_K_M.gguf"),
        (REPO, "Q4_K_M", "m-Q4_K_M.gguf"),
        (REPO, "q4_k_m", "m-Q4_K_M.gguf"),
        (REPO, "Q8_0", "m.Q8_0.gguf"),
        (REPO, "IQ4_XS", "m-IQ4_XS.gguf"),
        (REPO, "Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        (REPO, "UD-Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        (REPO, "BF16", "BF16/m-BF16-00001-of-00002.gguf"),
        (["m-Q8_0.gguf", "m-Q4_0.gguf"], None, "m-Q4_0.gguf"),
        (["m-F16.gguf", "m-Q2_K.gguf"], None, "m-F16.gguf"),
        (["model.gguf"], None, "model.gguf"),
        (["only-Q2_K.gguf", "mmproj.gguf"], None, "only-Q2_K.gguf"),
        (["long-name-Q4_0.gguf", "m-Q4_0.gguf"], "Q4_0", "m-Q4_0.gguf"),
        (["Q4_0/model.gguf", "Q8_0/model.gguf"], "Q8_0", "Q8_0/model.gguf"),
        (["M_Q5_K_M.GGUF"], "Q5_K_M", "M_Q5_K_M.GGUF"),
    ],
)
def test_choose_quantisation(paths: list[str], wanted: str | None, chosen: str) -> None:
    assert choose_quantisation(paths, wanted) == chosen
    assert choose_quantisation(reversed(paths), wanted) == chosen


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (REPO, "Q4_K"),
        (REPO, "Q4_XS"),
        (REPO, "Q3_K_M"),
        (["a.gguf", "b.gguf"], None),
        (["mmproj.gguf"], None),
        ([], None),
    ],
)
def test_nothing_fits(paths: list[str], wanted: str | None) -> None:
    with pytest.raises(LookupError, match="among: "):
        choose_quantisation(paths, wanted)
