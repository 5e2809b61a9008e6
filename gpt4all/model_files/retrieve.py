"""A model name becomes a file on the disk: found there, or downloaded."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from gpt4all.checks import check_path
from gpt4all.downloads.checksums import Expected
from gpt4all.errors import CatalogError, DownloadError, ModelNotFoundError
from gpt4all.model_files import catalog
from gpt4all.model_files.missing import describe_missing
from gpt4all.model_files.names import FileReference, HubReference, Reference, UrlReference, check_filename, split_names
from gpt4all.model_files.store import chosen_directory, expected_place, find, hub_folder, local_config
from gpt4all.notices import warn_deprecated

# Downloading is not imported by those whose model is there.
if TYPE_CHECKING:
    from gpt4all.downloads.progress import DownloadCallback
    from gpt4all.downloads.transfer import Download

__all__ = ["download_model", "parse_allow_download", "retrieve_model"]

logger = logging.getLogger("gpt4all.models")

PathArgument = str | os.PathLike[str]


def retrieve_model(
    model_name: PathArgument,
    model_path: PathArgument | None = None,
    allow_download: bool = True,
    verbose: bool = False,
    *,
    default_directory: PathArgument,
    progress: DownloadCallback | None = None,
) -> dict[str, Any]:
    """Find the model on the disk or download it; the config has at least its ``path`` and ``filename``, both str.

    ``model_name`` is a file name (with or without ``.gguf``), a path, an http(s) address, or a Hugging Face reference;
    see ``names.parse_reference``. It is looked for in ``model_path``, or without one in ``default_directory`` and the
    desktop application's folders, then as a path; what comes from an address or from Hugging Face is kept, and looked
    for, in a folder of its own below that directory. A file that is there is used without opening a socket. Otherwise,
    and with ``allow_download`` only, it comes from where the reference says or from the catalogue. A catalogue model's
    config has its whole entry, from the cached catalogue where no network was needed, with ``promptTemplate``'s ``%1``
    and ``%2`` written ``{0}`` and ``{1}``. Of a split GGUF the path is the first part's.

    Raises:
        ModelNotFoundError: ``model_path`` is given and missing, or there is no model and no download allowed.
        CatalogError: the catalogue is unusable.
        ValueError: the name is bad; besides, what ``download_model`` raises.
    """
    allowed = parse_allow_download(allow_download)
    directory = chosen_directory(model_path, default_directory)
    found, reference = find(model_name, directory, elsewhere=model_path is None)
    if found is not None:
        logger.info("found model file %s", found)
        return local_config(found, reference)
    wanted = expected_place(reference, directory)
    if not allowed:
        raise ModelNotFoundError(f"{describe_missing(reference, wanted, directory)}; allow_download is False")
    if isinstance(reference, FileReference) and Path(reference.name).name != reference.name:
        raise ModelNotFoundError(
            f"{describe_missing(reference, wanted, directory)}; only a name without a directory is downloaded"
        )
    config, downloads, note = _plan_downloads(reference, directory)
    from gpt4all.downloads.transfer import fetch

    # The first part of a split comes last, so that where it is, all of the model is.
    for download in reversed(downloads):
        _make_directory(download.final.parent)
        try:
            fetch(replace(download, verbose=verbose, progress=progress))
        except DownloadError as failure:
            if not note:
                raise
            raise DownloadError(f"{note}, and {failure}") from failure
    config.update(filename=downloads[0].final.name, path=str(downloads[0].final))
    return config


def download_model(
    model_filename: str,
    model_path: PathArgument,
    verbose: bool = True,
    url: str | None = None,
    expected_size: int | None = None,
    expected_md5: str | None = None,
    *,
    expected_sha256: str | None = None,
    progress: DownloadCallback | None = None,
) -> Path:
    """Download ``model_filename`` into the directory ``model_path`` and return the path of the finished file.

    ``url`` defaults to ``models/gguf/<model_filename>`` on the catalogue's host. ``expected_size`` is in bytes, the
    hashes are hexadecimal. A file that is already there is kept if it is as expected and replaced if it is not. Bytes
    go to ``<model_filename>.part``; whatever ends the call, the next one resumes there if the server has said which
    version of the file they belong to, or a hash is expected. A ChecksumError removes them. ``verbose`` always shows
    the tqdm bar; otherwise it is shown on a terminal or in a notebook. ``progress`` gets a ``DownloadProgress`` for
    every block and stops the download by returning ``False``.

    Raises:
        ValueError, TypeError: the name is unsafe, or a hash malformed.
        FileNotFoundError: no such directory.
        DownloadError: what the server or the disk refused.
        ChecksumError: the bytes are wrong.
        requests.exceptions.RequestException: the network failed.
        CancellationError: ``progress`` returned ``False``.
    """
    directory = Path(os.path.expanduser(check_path("model_path", model_path)))
    final = directory / check_filename(model_filename)
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"the model directory {directory} does not exist")
    if url is None:
        url = catalog.default_url(model_filename)
    from gpt4all.downloads.transfer import Download, fetch

    expected = Expected(expected_size, expected_md5, expected_sha256)
    return fetch(Download(url, final, expected, verbose=verbose, progress=progress))


def parse_allow_download(value: object) -> bool:
    """``allow_download`` as a bool; the strings ``"True"`` and ``"False"`` warn.

    Raises:
        TypeError: it is anything else.
    """
    if isinstance(value, bool):
        return value
    if value in ("True", "False"):
        warn_deprecated(f"pass allow_download={value} as a bool, not as a string")
        return value == "True"
    raise TypeError(f"allow_download must be a bool, not {type(value).__name__}")


def _make_directory(directory: Path) -> None:
    if directory.parts[:1] and directory.parts[0].startswith("~"):
        raise DownloadError(
            f"the model directory {directory} is in a home directory that this user does not have; "
            "give model_path, or set GPT4ALL_MODEL_DIR"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        message = f"the model directory {directory} cannot be created: {failure.strerror or failure}"
        raise DownloadError(message) from failure


def _plan_downloads(reference: Reference, directory: Path) -> tuple[dict[str, Any], list[Download], str]:
    """The model's config so far; its files, the first part of a split first; what to add to a failure to get them."""
    from gpt4all.downloads.transfer import Download

    if isinstance(reference, HubReference):
        from gpt4all.model_files import hub

        files = hub.resolve(reference)
        folder = hub_folder(reference, directory)
        first = files[0]
        config = {"url": first.url, "filesize": first.expected.size, "sha256sum": first.expected.sha256}
        return config, [Download(file.url, folder / file.path, file.expected, file.token) for file in files], ""
    note, folder = "", directory
    if isinstance(reference, UrlReference):
        entry: catalog.CatalogEntry = {"filename": reference.filename, "url": reference.url}
        folder = directory.joinpath(*reference.folder)
    else:
        entry, note = _catalogue_entry(reference.name, directory)
    url = urljoin(catalog.catalog_url(), entry.get("url") or catalog.default_url(entry["filename"]))
    downloads = []
    for name in split_names(entry["filename"]):
        own = name == entry["filename"]
        expected = catalog.entry_expected(entry) if own else Expected()
        downloads.append(Download(url if own else urljoin(url, quote(name)), folder / name, expected))
    return catalog.model_config(entry), downloads, note


def _catalogue_entry(filename: str, directory: Path) -> tuple[catalog.CatalogEntry, str]:
    """The entry of ``filename`` as the server has it now, or in the last answer if it cannot be asked.

    Without one: an entry of only the name, since the host may have files that the catalogue does not list, and a note.
    """
    import difflib

    import requests

    check_filename(filename)
    try:
        models = catalog.list_models()
    except (CatalogError, requests.exceptions.RequestException) as failure:
        cached = catalog.cached_models()
        if cached is None:
            missing = describe_missing(FileReference(filename), directory / filename, directory)
            raise catalog.failure_for(missing, failure) from failure
        logger.info("using the cached catalogue: %s", failure)
        models = cached
    entry = catalog.find_entry(models, filename)
    if entry is not None:
        return entry, ""
    close = difflib.get_close_matches(filename, [known["filename"] for known in models], n=3)
    similar = f" (similar: {', '.join(close)})" if close else ""
    return {"filename": filename}, f"{filename} is not in the model catalogue{similar}"
