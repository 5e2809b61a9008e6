"""Models on the disk: where one lies, what there is, whether it is whole, and how it goes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.checks import check_path
from gpt4all.downloads.checksums import Expected, check_file
from gpt4all.errors import ModelNotFoundError
from gpt4all.model_files import catalog
from gpt4all.model_files.folders import desktop_model_directories
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

# Downloading is not imported by those whose model is there.
if TYPE_CHECKING:
    from gpt4all.downloads.progress import DownloadCallback

__all__ = [
    "chosen_directory",
    "delete_model",
    "expected_place",
    "find",
    "hub_folder",
    "list_local_models",
    "local_config",
    "verify_model",
]

PathArgument = str | os.PathLike[str]


def chosen_directory(model_path: PathArgument | None, default: PathArgument) -> Path:
    """The model directory: ``model_path``, which must exist then, or ``default``."""
    if model_path is None:
        return Path(os.path.expanduser(default))
    directory = Path(os.path.expanduser(check_path("model_path", model_path)))
    if not os.path.isdir(directory):
        raise ModelNotFoundError(f"model_path {directory} is not an existing directory")
    return directory


def find(model_name: PathArgument, directory: Path, *, elsewhere: bool) -> tuple[Path | None, Reference]:
    """The file that ``model_name`` refers to, if it is on the disk; ``elsewhere``: also in the desktop's folders."""
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
    place = expected_place(reference, directory)
    return place if isinstance(reference, UrlReference) and os.path.isfile(place) else None, reference


def _find_hub(reference: HubReference, directory: Path) -> Path | None:
    folder = hub_folder(reference, directory)
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


def hub_folder(reference: HubReference, directory: Path) -> Path:
    """Where the files of a repository go."""
    # A folder per repository, because different repositories use the same file names.
    revision = "" if reference.revision is None else f"@{reference.revision}"
    return directory / check_filename(reference.owner) / check_filename(reference.repo + revision)


def expected_place(reference: Reference, directory: Path) -> Path:
    """The file that ``reference`` would be, whether it is there or not."""
    if isinstance(reference, FileReference):
        return directory / os.path.expanduser(reference.name)
    if isinstance(reference, UrlReference):
        return directory.joinpath(*reference.folder, split_names(reference.filename)[0])
    return hub_folder(reference, directory) / (reference.path or f"*{reference.quantisation or ''}*.gguf")


def local_config(path: Path, reference: Reference) -> dict[str, Any]:
    """The config of a model that is there, with what the cached catalogue says of it."""
    entry = _known_entry(path, reference)
    config = {} if entry is None else catalog.model_config(entry)
    config.update(filename=path.name, path=str(path))
    return config


def _known_entry(path: Path, reference: Reference) -> catalog.CatalogEntry | None:
    if not isinstance(reference, FileReference):  # those names say nothing about the catalogue's models
        return None
    return catalog.find_entry(catalog.cached_models() or [], path.name)


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

    What is not given is taken from the cached catalogue.

    Raises:
        ModelNotFoundError: no such file.
        ChecksumError: the file differs.
        ValueError: no hash is known.
    """
    directory = chosen_directory(model_path, default_directory)
    found, reference = find(model_name, directory, elsewhere=model_path is None)
    if found is None:
        wanted = expected_place(reference, directory)
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
    """The models in ``directories``, or in one, a dict each, sorted by path within a directory.

    Keys: ``filename``, ``path``, ``directory`` (the one of ``directories``), ``model_name`` (what to call it to load it
    from there), ``filesize`` (bytes on the disk, all parts of a split together), ``complete`` (False where a part is
    missing), and for a model of the cached catalogue the rest of its entry. Unreadable directories count as empty.
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

    Only below ``model_path`` or ``default_directory``: the desktop application's folders are never touched.

    Raises:
        ModelNotFoundError: there is nothing to delete.
        ValueError: it lies outside the directory, or is no file.
        DownloadError: the model is being downloaded.
    """
    from gpt4all.downloads.partfile import exclusive, leftovers, remove_leftovers

    directory = chosen_directory(model_path, default_directory)
    found, reference = find(model_name, directory, elsewhere=False)
    first = expected_place(reference, directory) if found is None else found
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
