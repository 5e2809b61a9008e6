"""Models on the disk: where they lie, how one is obtained, listed, verified and deleted."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from gpt4all.checks import check_path
from gpt4all.downloads.checksums import Expected, check_file
from gpt4all.errors import CatalogError, DownloadError, ModelNotFoundError
from gpt4all.model_files import catalog
from gpt4all.model_files.folders import default_model_directory, desktop_model_directories
from gpt4all.model_files.missing import describe_missing
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
from gpt4all.notices import warn_deprecated

# Downloading is not imported by those whose model is there.
if TYPE_CHECKING:
    from gpt4all.downloads.progress import DownloadCallback
    from gpt4all.downloads.transfer import Download

__all__ = [
    "append_extension_if_missing",
    "default_model_directory",
    "delete_model",
    "desktop_model_directories",
    "list_local_models",
    "parse_allow_download",
    "retrieve_model",
    "verify_model",
]

logger = logging.getLogger("gpt4all.models")

PathArgument = str | os.PathLike[str]


def parse_allow_download(value: object) -> bool:
    """`allow_download` as a bool: the strings "True" and "False" warn, anything else that is no bool is a TypeError."""
    if isinstance(value, bool):
        return value
    if value in ("True", "False"):
        warn_deprecated(f"pass allow_download={value} as a bool, not as a string")
        return value == "True"
    raise TypeError(f"allow_download must be a bool, not {type(value).__name__}")


def retrieve_model(
    model_name: PathArgument,
    model_path: PathArgument | None = None,
    allow_download: bool = True,
    verbose: bool = False,
    *,
    default_directory: PathArgument,
    progress: DownloadCallback | None = None,
) -> dict[str, Any]:
    """Find the model on the disk or download it; the config has at least its `path` and `filename`, both str.

    `model_name` is a file name (with or without `.gguf`), a path, an http(s) address, or a Hugging Face reference; see
    `references.parse_reference`. It is looked for in `model_path`, or without one in `default_directory` and the
    desktop application's folders, then as a path; what comes from an address or from Hugging Face is kept, and looked
    for, in a folder of its own below that directory. A file that is there is used without opening a socket. Otherwise,
    and with `allow_download` only, it comes from where the reference says or from the catalogue. A catalogue model's
    config has its whole entry, from the cached catalogue where no network was needed, with `promptTemplate`'s `%1` and
    `%2` written `{0}` and `{1}`. Of a split GGUF the path is the first part's.

    Raises ModelNotFoundError when `model_path` is given and missing, or when there is no model and no download allowed,
    CatalogError for an unusable catalogue, ValueError for a bad name, and what `download_model` does.
    """
    allowed = parse_allow_download(allow_download)
    directory = _directory(model_path, default_directory)
    found, reference = _find(model_name, directory, elsewhere=model_path is None)
    if found is not None:
        logger.info("found model file %s", found)
        return _local_config(found, reference)
    wanted = _expected_place(reference, directory)
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


def verify_model(
    model_name: PathArgument,
    model_path: PathArgument | None = None,
    *,
    default_directory: PathArgument,
    expected_size: int | None = None,
    expected_md5: str | None = None,
    expected_sha256: str | None = None,
    verbose: bool = False,
    progress: DownloadCallback | None = None,
) -> Path:
    """Read a model file that is on the disk and compare its hash; return its path. Opens no socket.

    What is not given is taken from the cached catalogue. Raises ModelNotFoundError, ChecksumError when the file
    differs, and ValueError when no hash is known.
    """
    directory = _directory(model_path, default_directory)
    found, reference = _find(model_name, directory, elsewhere=model_path is None)
    if found is None:
        wanted = _expected_place(reference, directory)
        raise ModelNotFoundError(describe_missing(reference, wanted, directory))
    expected = Expected(expected_size, expected_md5, expected_sha256)
    if expected == Expected() and (entry := _known_entry(found, reference)) is not None:
        expected = catalog.entry_expected(entry)
    if not expected.hashes():
        raise ValueError(
            f"no hash of {found.name} is known; give expected_md5 or expected_sha256, or, for one of the catalogue's "
            "models, call list_models() first"
        )
    check_file(found, expected, verbose=verbose, progress=progress)
    return found


def list_local_models(directories: PathArgument | Iterable[PathArgument]) -> list[dict[str, Any]]:
    """The models in `directories`, or in one, a dict each, sorted by path within a directory.

    Keys: `filename`, `path`, `directory` (the one of `directories`), `model_name` (what to call it to load it from
    there), `filesize` (bytes on the disk, all parts of a split together), `complete` (False where a part is missing),
    and for a model of the cached catalogue the rest of its entry. Unreadable directories count as empty.
    """
    seen: set[Path] = set()
    models = []
    entries = {entry["filename"]: entry for entry in reversed(catalog.cached_models() or [])}
    if isinstance(directories, (str, bytes, os.PathLike)):  # the characters of a path are no directories
        directories = [directories]
    for named in directories:
        directory = Path(os.path.expanduser(check_path("directories", named)))
        for path in sorted(_model_files(directory)):
            identity = Path(os.path.realpath(path))
            if identity in seen:
                continue
            seen.add(identity)
            parts = [path.with_name(name) for name in split_names(path.name)]
            sizes = [part.stat().st_size for part in parts if part.is_file()]
            below = path.relative_to(directory).as_posix()
            known = "/" not in below and path.name in entries
            models.append(
                (catalog.model_config(entries[path.name]) if known else {})
                | {
                    "filename": path.name,
                    "path": str(path),
                    "directory": str(directory),
                    "model_name": f"hf://{below}" if "/" in below and not below.startswith("url@") else below,
                    "filesize": sum(sizes),
                    "complete": len(sizes) == len(parts),
                }
            )
    return models


def delete_model(
    model_name: PathArgument, model_path: PathArgument | None = None, *, default_directory: PathArgument
) -> list[Path]:
    """Delete a model's file, all parts of a split, and what an unfinished download of it left; return the files.

    Only below `model_path` or `default_directory`: the desktop application's folders are never touched. Raises
    ModelNotFoundError when there is nothing to delete, ValueError for anything outside the directory or no file, and
    DownloadError while the model is being downloaded.
    """
    from gpt4all.downloads.partfile import exclusive, leftovers, remove_leftovers

    directory = _directory(model_path, default_directory)
    found, reference = _find(model_name, directory, elsewhere=False)
    first = _expected_place(reference, directory) if found is None else found
    if not Path(os.path.realpath(first.parent)).is_relative_to(os.path.realpath(directory)):
        raise ValueError(f"{first} is not in the model directory {directory} and is not deleted")
    if os.path.isdir(first):
        raise ValueError(f"{first} is a directory and is not deleted")
    deleted = []
    for final in [first.with_name(name) for name in split_names(first.name)]:
        if not os.path.isdir(final.parent) or "*" in final.name:
            continue
        if not any(os.path.lexists(path) for path in (final, *leftovers(final))):
            continue
        with exclusive(final, wait=False):
            final.unlink(missing_ok=True)
            remove_leftovers(final)
        deleted.append(final)
    if not deleted:
        raise ModelNotFoundError(f"there is no model file {first} to delete")
    _remove_empty_folders(first.parent, directory)
    return deleted


def _directory(model_path: PathArgument | None, default: PathArgument) -> Path:
    if model_path is None:
        return Path(os.path.expanduser(default))
    directory = Path(os.path.expanduser(check_path("model_path", model_path)))
    if not os.path.isdir(directory):
        raise ModelNotFoundError(f"model_path {directory} is not an existing directory")
    return directory


def _find(model_name: PathArgument, directory: Path, *, elsewhere: bool) -> tuple[Path | None, Reference]:
    """The file that `model_name` refers to, if it is on the disk; `elsewhere`: also in the desktop's folders."""
    name = check_path("model_name", model_name)
    if not name:
        raise ValueError("model_name must be a file name, a path or an address, and is empty")
    places = [directory, *desktop_model_directories()] if elsewhere else [directory]
    if "://" not in name:
        expanded = os.path.expanduser(name)
        # A bare name next to an explicit model_path means that directory and not the one we happen to be in.
        here = [Path()] if elsewhere or Path(expanded).name != expanded else []
        for base in (*places, *here):
            for candidate in (base / append_extension_if_missing(expanded), base / expanded):
                # A directory with a model's name is handed on: the check of the file says what it is.
                if os.path.isfile(candidate) or (candidate.suffix == ".gguf" and os.path.exists(candidate)):
                    return candidate, FileReference(name)
    reference = parse_reference(name)
    if isinstance(reference, HubReference):
        return _find_hub(reference, directory), reference
    place = _expected_place(reference, directory)
    return place if isinstance(reference, UrlReference) and os.path.isfile(place) else None, reference


def _find_hub(reference: HubReference, directory: Path) -> Path | None:
    folder = _hub_folder(reference, directory)
    path = reference.path
    if path is None:
        stored = (
            [file.relative_to(folder).as_posix() for file in folder.rglob("*.gguf")] if os.path.isdir(folder) else []
        )
        try:
            path = choose_quantisation(stored, reference.quantisation)
        except LookupError:
            return None
    found = folder / path
    found = found.with_name(split_names(found.name)[0])
    return found if os.path.isfile(found) else None


def _hub_folder(reference: HubReference, directory: Path) -> Path:
    # A folder per repository, because different repositories use the same file names.
    revision = "" if reference.revision is None else f"@{reference.revision}"
    return directory / check_filename(reference.owner) / check_filename(reference.repo + revision)


def _expected_place(reference: Reference, directory: Path) -> Path:
    if isinstance(reference, FileReference):
        return directory / os.path.expanduser(reference.name)
    if isinstance(reference, UrlReference):
        return directory.joinpath(*reference.folder, split_names(reference.filename)[0])
    return _hub_folder(reference, directory) / (reference.path or f"*{reference.quantisation or ''}*.gguf")


def _local_config(path: Path, reference: Reference) -> dict[str, Any]:
    entry = _known_entry(path, reference)
    config = {} if entry is None else catalog.model_config(entry)
    config.update(filename=path.name, path=str(path))
    return config


def _known_entry(path: Path, reference: Reference) -> catalog.CatalogEntry | None:
    if not isinstance(reference, FileReference):  # those names say nothing about the catalogue's models
        return None
    return catalog.find_entry(catalog.cached_models() or [], path.name)


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
    from gpt4all.downloads.transfer import Download, default_url

    if isinstance(reference, HubReference):
        from gpt4all.model_files import hub

        files = hub.resolve(reference)
        folder = _hub_folder(reference, directory)
        first = files[0]
        config = {"url": first.url, "filesize": first.expected.size, "sha256sum": first.expected.sha256}
        return config, [Download(file.url, folder / file.path, file.expected, file.token) for file in files], ""
    note, folder = "", directory
    if isinstance(reference, UrlReference):
        entry: catalog.CatalogEntry = {"filename": reference.filename, "url": reference.url}
        folder = directory.joinpath(*reference.folder)
    else:
        entry, note = _catalogue_entry(reference.name, directory)
    url = urljoin(catalog.catalog_url(), entry.get("url") or default_url(entry["filename"]))
    downloads = []
    for name in split_names(entry["filename"]):
        own = name == entry["filename"]
        expected = catalog.entry_expected(entry) if own else Expected()
        downloads.append(Download(url if own else urljoin(url, quote(name)), folder / name, expected))
    return catalog.model_config(entry), downloads, note


def _catalogue_entry(filename: str, directory: Path) -> tuple[catalog.CatalogEntry, str]:
    """The entry of `filename` as the server has it now, or in the last answer if it cannot be asked.

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


def _model_files(directory: Path) -> Iterator[Path]:
    with suppress(OSError):
        # Beside the top level, only the depth at which Hugging Face references (owner/repo[/folder]/file) and those
        # of addresses (url@host/key/file) are stored.
        for pattern in ("*.gguf", "*/*/*.gguf", "*/*/*/*.gguf"):
            for path in directory.glob(pattern):
                hidden = any(name.startswith(".") for name in path.relative_to(directory).parts)
                usable = not hidden and not is_projector(path.name) and not path.name.startswith("incomplete-")
                if usable and split_names(path.name)[0] == path.name and path.is_file():
                    yield path


def _remove_empty_folders(folder: Path, directory: Path) -> None:
    with suppress(OSError):  # the first folder that is not empty ends it
        while folder != directory and folder.is_relative_to(directory):
            folder.rmdir()
            folder = folder.parent
