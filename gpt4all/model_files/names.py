"""What a model name can mean, and which file names are safe to create.

Pure functions: nothing here touches the disk or the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from gpt4all.downloads.http import address_key

__all__ = [
    "FileReference",
    "HubReference",
    "Reference",
    "UrlReference",
    "append_extension_if_missing",
    "check_filename",
    "choose_quantisation",
    "is_projector",
    "parse_reference",
    "split_names",
]

_MODEL_SUFFIXES = (".gguf", ".bin")
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
# The hub's own rule for owners and repositories; the word character they must hold keeps out ``.`` and ``..``.
_HUB_NAME = r"(?=[\w.-]*\w)[A-Za-z0-9._-]{1,96}"
_HUB_SHORT = re.compile(
    rf"(?P<owner>{_HUB_NAME})/(?P<repo>{_HUB_NAME})(?:@(?P<revision>[\w.-]+))?(?::(?P<quantisation>[\w.-]+))?",
    re.ASCII,
)
_HUB_FILE = re.compile(
    rf"(?P<owner>{_HUB_NAME})/(?P<repo>{_HUB_NAME})(?:@(?P<revision>[\w.-]+))?/(?P<path>.+)", re.ASCII
)
# With any extension, and with spaces before it; the superscript digits count as digits there.
_WINDOWS_DEVICES = re.compile(
    r"(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?", re.IGNORECASE
)

# Without a wish, the usual middle ground between size and quality comes first, then its nearest neighbours.
_PREFERRED_QUANTISATIONS = (
    *("Q4_K_M", "Q4_0", "Q4_K_S", "Q5_K_M", "Q4_1", "Q5_K_S", "Q5_0", "Q5_1"),
    *("Q6_K", "Q8_0", "IQ4_NL", "IQ4_XS", "Q3_K_M", "F16", "BF16", "F32"),
)


@dataclass(frozen=True)
class FileReference:
    """A file name of the catalogue or of a model directory, or a path; ``name`` has its extension."""

    name: str


@dataclass(frozen=True)
class UrlReference:
    """An http(s) address, and the name its file gets in the address's own folder."""

    url: str
    filename: str

    @property
    def folder(self) -> tuple[str, str]:
        """Where the file goes in a model directory, since files of many addresses have the same name.

        No name of a model or of a Hugging Face owner begins like it.
        """
        host = re.sub(r"[^a-z0-9.-]", "_", urlsplit(self.url).netloc.rpartition("@")[2].lower())
        parts = split_names(self.filename)
        first = self.url if len(parts) == 1 else urljoin(self.url, quote(parts[0]))
        return f"url@{host[:100].rstrip('.')}", address_key(first)


@dataclass(frozen=True)
class HubReference:
    """A file (``path``, relative to the repository) or a quantisation of a Hugging Face repository."""

    owner: str
    repo: str
    revision: str | None = None
    path: str | None = None
    quantisation: str | None = None

    @property
    def repo_id(self) -> str:
        return f"{self.owner}/{self.repo}"


Reference = FileReference | UrlReference | HubReference


def append_extension_if_missing(model_name: str) -> str:
    """A model's file name, with ``.gguf`` appended unless it ends in ``.gguf`` or ``.bin``.

    Args:
        model_name: what a program calls the model.

    Returns:
        The file name.

    Example:
        >>> append_extension_if_missing("orca-mini-3b.Q4_0")
        'orca-mini-3b.Q4_0.gguf'
    """
    return model_name if model_name.endswith(_MODEL_SUFFIXES) else model_name + ".gguf"


def check_filename(filename: object) -> str:
    """``filename``, which names one file directly inside a directory, on any platform.

    File names come from catalogues, repositories and addresses, so none may climb out of the model directory, name a
    drive or an alternate stream, or be one of the names that Windows gives to devices.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(filename, str):
        raise ValueError(f"a model file name must be a string, not {type(filename).__name__}")
    problem = None
    if filename in ("", ".", ".."):
        problem = "it names no file"
    elif any(character in filename for character in '/\\:*?"<>|'):
        problem = "it holds a path separator, a drive or another character that file systems reserve"
    elif not filename.isprintable():
        problem = "it holds a control character, or another that cannot be seen"
    elif filename[0] in ".~" or filename[-1] in ". " or filename != filename.strip():
        problem = "it starts or ends with a dot, a tilde or a space"
    elif _WINDOWS_DEVICES.fullmatch(filename):
        problem = "Windows reserves it for a device"
    elif len(filename.encode("utf-8", "surrogatepass")) > 240:
        problem = "it is too long"  # 255 bytes is the usual limit, and suffixes are added while downloading
    if problem:
        raise ValueError(f"unsafe model file name {filename[:80]!r}: {problem}")
    return filename


def split_names(filename: str) -> list[str]:
    """All parts of a GGUF split ``stem-00001-of-0000N.gguf``, the first one first; ``[filename]`` for anything else."""
    match = _SPLIT.fullmatch(filename)
    if match is None or not 1 <= int(match["part"]) <= int(match["count"]):
        return [filename]
    return [f"{match['stem']}-{part:05d}-of-{match['count']}.gguf" for part in range(1, int(match["count"]) + 1)]


def is_projector(filename: str) -> bool:
    """Whether the file is by its name a vision projector (``mmproj``) or an importance matrix, which are no models."""
    lowered = filename.rpartition("/")[2].lower()
    return "mmproj" in lowered or "imatrix" in lowered


def parse_reference(model_name: str) -> Reference:
    """What ``model_name`` refers to, by its form alone.

    ``https://host/file.gguf`` is an address; ``hf://owner/repo/file.gguf``, ``hf://owner/repo[:quantisation]`` and
    ``owner/repo[:quantisation]`` (each with an optional ``@revision`` after the repository) are Hugging Face
    references; anything else is a file name or path. A relative path such as ``models/tiny`` has the form
    ``owner/repo`` too, so callers look on the disk before they ask here.

    Raises:
        ValueError: the address or hub reference is unusable.
    """
    scheme, separator, rest = model_name.partition("://")
    if not separator:
        if re.split(r"[/\\]", model_name)[-1] in ("", ".", ".."):
            raise ValueError(f"{model_name!r} is a directory, not a model: give the path of a file in it")
        match = _HUB_SHORT.fullmatch(model_name)
        if match is None or model_name.endswith(_MODEL_SUFFIXES):
            return FileReference(append_extension_if_missing(model_name))
        return HubReference(**match.groupdict())
    if scheme == "hf":
        return _parse_hub(rest, model_name)
    if scheme.lower() not in ("http", "https"):
        raise ValueError(f"model address {model_name!r}: only http, https and hf addresses are supported")
    return UrlReference(model_name, check_filename(unquote(urlsplit(model_name).path.rpartition("/")[2])))


def _parse_hub(rest: str, model_name: str) -> HubReference:
    if match := _HUB_SHORT.fullmatch(rest):
        return HubReference(**match.groupdict())
    match = _HUB_FILE.fullmatch(rest)
    if match is None:
        raise ValueError(
            f"{model_name!r} is no Hugging Face reference; write hf://owner/repo/file.gguf or hf://owner/repo:Q4_K_M"
        )
    for component in match["path"].split("/"):
        check_filename(component)
    return HubReference(match["owner"], match["repo"], match["revision"], append_extension_if_missing(match["path"]))


def choose_quantisation(paths: Iterable[str], wanted: str | None) -> str:
    """The model file among a repository's ``paths`` that has the ``wanted`` quantisation, the first part of a split.

    Without a wish: the only model, else the first there is of Q4_K_M, Q4_0 and their neighbours, else of the
    larger types. Of several with the same quantisation the shortest path wins.

    Raises:
        LookupError: nothing fits; the message names what there is.
    """
    models = sorted(
        {
            f"{folder}{slash}{split_names(name)[0]}"
            for path in paths
            for folder, slash, name in [path.rpartition("/")]
            if name.lower().endswith(".gguf") and not is_projector(name)
        },
        key=lambda path: (len(path), path),
    )
    if wanted is None and len(models) == 1:
        return models[0]
    for quantisation in _PREFERRED_QUANTISATIONS if wanted is None else (wanted,):
        # Q4_K must not find Q4_K_M, nor Q4_XS find IQ4_XS: the name ends where the quantisation does.
        pattern = re.compile(rf"(?:^|[-._/]){re.escape(quantisation)}(?=$|[-./])", re.IGNORECASE)
        for path in models:
            if pattern.search(path):
                return path
    listing = ", ".join(models) or "no GGUF model at all"
    asked = f"no {wanted} model" if wanted else "no obvious choice"
    raise LookupError(f"{asked} among: {listing}")
