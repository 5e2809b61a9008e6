"""The model catalogue: fetched, checked, cached on the disk, searched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from gpt4all.downloads import http
from gpt4all.downloads.checksums import Expected
from gpt4all.downloads.own_files import read_own, write_own
from gpt4all.downloads.resume import usable_date, usable_etag
from gpt4all.errors import CatalogError
from gpt4all.model_files.folders import user_cache
from gpt4all.model_files.names import check_filename

if TYPE_CHECKING:
    import requests

__all__ = [
    "cached_models",
    "catalog_url",
    "default_url",
    "entry_expected",
    "entry_size",
    "failure_for",
    "find_entry",
    "list_models",
    "model_config",
    "parse_catalog",
    "search_models",
]

logger = logging.getLogger("gpt4all.catalog")

_DEFAULT_URL = "https://gpt4all.io/models/models3.json"
# The real one has about 50 kB and 40 entries. These bound what a hostile or broken one can make of memory and disk.
_MAX_CATALOG_BYTES = 16 << 20
_MAX_MODEL_BYTES = 1 << 44
_TEXT_KEYS = (
    *("name", "url", "md5sum", "sha256sum", "type", "description", "parameters", "quant"),
    *("promptTemplate", "systemPrompt", "chatTemplate", "systemMessage"),
)

CatalogEntry = dict[str, Any]


def catalog_url() -> str:
    """The catalogue's address: the environment variable ``GPT4ALL_CATALOG_URL``, else the public one."""
    return os.environ.get("GPT4ALL_CATALOG_URL") or _DEFAULT_URL


def default_url(model_filename: str) -> str:
    """Where the catalogue's host keeps a model that says nothing else: ``models/gguf/<model_filename>``."""
    return urljoin(catalog_url(), "/models/gguf/" + quote(model_filename))


def list_models() -> list[CatalogEntry]:
    """The catalogue as the server has it now, one dict per model, values as they stand there.

    Always asks the server; an unchanged catalogue (by ``ETag`` or ``Last-Modified``) is not sent again. Time-outs are
    those of ``http.POLICY``.

    Raises:
        CatalogError: the HTTP status is neither 200 nor 304, or the catalogue is malformed.
        requests.exceptions.RequestException: the network failed.
    """
    url = catalog_url()
    cached = _read_cache(url)
    headers = {}
    if cached is not None and cached.etag is not None:
        headers["If-None-Match"] = cached.etag
    if cached is not None and cached.last_modified is not None:
        headers["If-Modified-Since"] = cached.last_modified
    with http.connect() as connection, http.get(connection, url, headers, error=CatalogError) as response:
        if response.status_code == 304 and cached is not None:
            return cached.models
        if response.status_code != 200:
            status = f"{response.status_code} {http.printable(response.reason)}".strip()
            raise CatalogError(f"the model catalogue {http.shown(url)} answered {status}")
        content = bytearray()
        for block in http.body(response):
            content += block
            if len(content) > _MAX_CATALOG_BYTES:
                raise CatalogError(f"the model catalogue {http.shown(url)} has over {_MAX_CATALOG_BYTES} bytes")
        etag, modified = usable_etag(response.headers.get("ETag")), usable_date(response.headers.get("Last-Modified"))
    models = parse_catalog(bytes(content), url)
    _write_cache(_CachedCatalog(url, etag, modified, models))
    return models


def cached_models() -> list[CatalogEntry] | None:
    """The last catalogue that ``list_models`` got from the present address, None if it never did. Opens no socket."""
    cached = _read_cache(catalog_url())
    return None if cached is None else cached.models


def failure_for(
    missing: str, failure: CatalogError | requests.exceptions.RequestException
) -> CatalogError | requests.exceptions.RequestException:
    """A ``failure`` of ``list_models``, its type kept, that says which model file is ``missing``."""
    message = (
        f"{missing}, and the catalogue to download it by cannot be had. Check the network, or give the path of a model "
        f"file that is on this machine. ({http.reason(failure)})"
    )
    if isinstance(failure, CatalogError):
        return CatalogError(message)
    return type(failure)(message, request=failure.request, response=failure.response)


def parse_catalog(content: bytes, url: str) -> list[CatalogEntry]:
    """The entries of the catalogue ``content`` that came from ``url``.

    Nothing of a bad catalogue is used.

    Raises:
        CatalogError: it is no JSON list of objects that each have a safe ``filename``, or a ``filesize`` (bytes),
            ``url`` or text that is present makes no sense; the message names the entry.
    """
    where = f"the model catalogue {http.shown(url)}"
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as failure:
        raise CatalogError(f"{where} is not JSON: {failure}") from failure
    if not isinstance(entries, list):
        raise CatalogError(f"{where} is not a list of models but a {type(entries).__name__}")
    for position, entry in enumerate(entries):
        try:
            _check_entry(entry, url)
        except ValueError as failure:
            raise CatalogError(f"{where}, entry {position}: {failure}") from failure
    return entries


def _check_entry(entry: object, catalog: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"a model must be an object, not a {type(entry).__name__}")
    if "filename" not in entry:
        raise ValueError("it has no filename")
    check_filename(entry["filename"])
    for key in _TEXT_KEYS:
        if not isinstance(entry.get(key, ""), str | None):
            raise ValueError(f"{key} of {entry['filename']} must be a text")
    entry_size(entry)
    if address := entry.get("url"):
        parts = urlsplit(urljoin(catalog, address))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url of {entry['filename']} is no http or https address: {address[:200]!r}")


def entry_size(entry: CatalogEntry) -> int | None:
    """The size in bytes that an entry gives its file, as digits or as a number; ValueError for one no file has."""
    size = entry.get("filesize")
    if size is None or size == "":
        return None
    if isinstance(size, str) and size.isascii() and size.isdecimal() and len(size) < 20:
        size = int(size)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= _MAX_MODEL_BYTES:
        raise ValueError(f"filesize of {entry['filename']} makes no sense: {str(size)[:40]!r}")
    return size


def entry_expected(entry: CatalogEntry) -> Expected:
    """What the file of ``entry`` should be; CatalogError where its hash is none."""
    try:
        return Expected(entry_size(entry), entry.get("md5sum") or None, entry.get("sha256sum") or None)
    except ValueError as failure:
        raise CatalogError(f"the model catalogue, {entry['filename']}: {failure}") from failure


def find_entry(models: Iterable[CatalogEntry], filename: str) -> CatalogEntry | None:
    """The first of ``models`` with this file name."""
    return next((entry for entry in models if entry["filename"] == filename), None)


def model_config(entry: CatalogEntry) -> CatalogEntry:
    """A copy of ``entry`` with the placeholders ``%1``, ``%2`` of its ``promptTemplate`` written ``{0}``, ``{1}``."""
    config = dict(entry)
    if template := config.get("promptTemplate"):
        config["promptTemplate"] = template.replace("%1", "{0}").replace("%2", "{1}")
    return config


def search_models(
    models: Iterable[CatalogEntry], text: str = "", *, model_type: str | None = None, max_memory: int | None = None
) -> list[CatalogEntry]:
    """Those of ``models`` whose name or file name holds every word of ``text``, in catalogue order.

    ``model_type`` compares with the entry's ``type`` (``"LLaMA3"``, ``"Qwen2"``, …); upper and lower case are the same
    everywhere. ``max_memory`` is in bytes and compares with ``ramrequired``, which counts GiB; entries that do not say
    what they need are left out then.
    """
    words = text.casefold().split()
    return [
        entry
        for entry in models
        if all(word in f"{entry.get('name') or ''} {entry['filename']}".casefold() for word in words)
        and (model_type is None or (entry.get("type") or "").casefold() == model_type.casefold())
        and (max_memory is None or _memory_needed(entry) <= max_memory)
    ]


def _memory_needed(entry: CatalogEntry) -> float:
    try:
        return float(entry["ramrequired"]) * (1 << 30)
    except (KeyError, TypeError, ValueError):
        return float("inf")


@dataclass(frozen=True)
class _CachedCatalog:
    url: str
    etag: str | None
    last_modified: str | None
    models: list[CatalogEntry]


def _cache_file(url: str) -> Path:
    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return user_cache() / "catalog" / f"{name}.json"


def _read_cache(url: str) -> _CachedCatalog | None:
    try:
        # The same entries take more bytes here: other characters than ASCII are escaped.
        raw = json.loads(read_own(_cache_file(url), 6 * _MAX_CATALOG_BYTES))
        etag, modified = usable_etag(raw["etag"]), usable_date(raw["last_modified"])
        if raw["url"] != url:
            return None
        # Checked again: the file may be of another version, or edited.
        return _CachedCatalog(url, etag, modified, parse_catalog(json.dumps(raw["models"]).encode(), url))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as failure:
        # As text: a handler may keep the record, and the exception would keep the model that is being loaded.
        logger.debug("no usable catalogue in the cache: %s", str(failure))
        return None


def _write_cache(cached: _CachedCatalog) -> None:
    path = _cache_file(cached.url)
    if str(path).startswith("~"):  # a user without a home directory
        return
    staged = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_own(path, json.dumps(asdict(cached)).encode(), staged)  # no reader ever sees half of it
    except OSError as failure:  # the answer itself is fine; only the next one cannot be compared with it
        logger.info("the catalogue cannot be cached in %s: %s", path.parent, failure)
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
