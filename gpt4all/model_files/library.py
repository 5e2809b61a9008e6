"""The part of ``GPT4All`` that has to do with model files: finding, listing, fetching, deleting them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt4all.downloads.progress import DownloadCallback
else:
    # With downloads, which importing the package leaves out; type hints can be had all the same.
    DownloadCallback = Callable[..., object]

ConfigType = dict[str, Any]
PathArgument = str | os.PathLike[str]


class ModelLibrary:
    """Class methods over the model directory and the catalogue; they load no model."""

    @staticmethod
    def _default_directory() -> Path:
        from gpt4all.model_files.folders import default_model_directory

        return default_model_directory()

    @staticmethod
    def list_models() -> list[ConfigType]:
        """The catalogue as the server has it now.

        Returns:
            A dict for each model, with its ``filename`` and usually ``name``, ``filesize``,
            ``ramrequired``, ``md5sum`` and more.

        Raises:
            CatalogError: the server's answer is no catalogue, or an HTTP error.
            requests.exceptions.RequestException: the network failed.

        Example:
            >>> for entry in GPT4All.list_models():
            ...     print(entry["name"], "is", entry["filename"])
            Llama 3 8B Instruct is Meta-Llama-3-8B-Instruct.Q4_0.gguf
            ...
        """
        from gpt4all.model_files import catalog

        return catalog.list_models()

    @staticmethod
    def search_models(
        text: str = "",
        *,
        model_type: str | None = None,
        max_memory: int | None = None,
        models: Iterable[ConfigType] | None = None,
    ) -> list[ConfigType]:
        """Catalogue entries whose name or file name holds every word of a text.

        Args:
            text: words to look for; upper and lower case are the same.
            model_type: compared with the entry's ``type``, such as ``"LLaMA3"``.
            max_memory: bytes; leaves out models that need more, or don't say.
            models: entries to search instead of those of ``list_models``.

        Returns:
            The entries that match, in the catalogue's order.

        Raises:
            CatalogError: as from ``list_models``, without ``models``.
            requests.exceptions.RequestException: the network failed.

        Example:
            >>> [entry["filename"] for entry in GPT4All.search_models("llama instruct", max_memory=8 << 30)]
            ['Meta-Llama-3-8B-Instruct.Q4_0.gguf']
        """
        from gpt4all.model_files import catalog

        entries = catalog.list_models() if models is None else models
        return catalog.search_models(entries, text, model_type=model_type, max_memory=max_memory)

    @classmethod
    def retrieve_model(
        cls,
        model_name: PathArgument,
        model_path: PathArgument | None = None,
        allow_download: bool = True,
        verbose: bool = False,
        *,
        download_progress: DownloadCallback | None = None,
    ) -> ConfigType:
        """Finds a model file, downloading it where it is missing and allowed.

        Args:
            model_name: file name of a catalogue model or of a file in ``model_path``,
                a path, an http(s) address, or a Hugging Face reference such as
                ``hf://owner/repo/file.gguf`` or ``owner/repo:Q4_K_M``.
            model_path: the directory it is in or goes to; must exist when given.
            allow_download: ``False`` never opens a socket.
            verbose: always shows the progress bar.
            download_progress: called with a ``DownloadProgress`` for every block;
                ``False`` stops with a ``CancellationError``.

        Returns:
            A dict with ``path`` and ``filename``, and for a catalogue model the rest of its entry.

        Raises:
            FileNotFoundError: no such directory, or no file and no download allowed.
            CatalogError, DownloadError, ChecksumError: what went wrong with fetching it.
            requests.exceptions.RequestException: the network failed.
            CancellationError: ``download_progress`` returned ``False``.
            ValueError, TypeError: the name is none that a model can have, or another argument makes no sense.

        Example:
            >>> config = GPT4All.retrieve_model("SmolLM2-135M-Instruct.Q4_1.gguf", allow_download=False)
            >>> config["filename"]
            'SmolLM2-135M-Instruct.Q4_1.gguf'
        """
        from gpt4all.model_files import retrieve

        return retrieve.retrieve_model(
            model_name,
            model_path,
            allow_download,
            verbose,
            default_directory=cls._default_directory(),
            progress=download_progress,
        )

    @staticmethod
    def download_model(
        model_filename: str,
        model_path: PathArgument,
        verbose: bool = True,
        url: str | None = None,
        expected_size: int | None = None,
        expected_md5: str | None = None,
        *,
        expected_sha256: str | None = None,
        download_progress: DownloadCallback | None = None,
    ) -> Path:
        """Downloads a file into a directory, resuming an earlier try, and verifies it.

        A file that is there and as expected is kept. While it comes it is called
        ``<model_filename>.part``; whatever ends the call, the next one goes on from there.

        Args:
            model_filename: the name the file gets; also where it is on the catalogue's host without ``url``.
            model_path: an existing directory.
            verbose: always shows the progress bar.
            url: where the file is; http or https.
            expected_size: bytes.
            expected_md5: hexadecimal.
            expected_sha256: hexadecimal.
            download_progress: as for ``retrieve_model``.

        Returns:
            The path of the finished file.

        Raises:
            FileNotFoundError: no such directory.
            DownloadError: what the server or the disk refused.
            ChecksumError: the file has not the expected size or hash.
            requests.exceptions.RequestException: the network failed.
            CancellationError: ``download_progress`` returned ``False``.
            ValueError, TypeError: the name is unsafe, a hash malformed, or another argument makes no sense.

        Example:
            >>> path = GPT4All.download_model("tiny-llama.gguf", "models", download_progress=print)
            DownloadProgress(filename='tiny-llama.gguf', phase='downloading', done=..., total=...)
            ...
            >>> path.name
            'tiny-llama.gguf'
        """
        from gpt4all.model_files import retrieve

        return retrieve.download_model(
            model_filename,
            model_path,
            verbose,
            url,
            expected_size,
            expected_md5,
            expected_sha256=expected_sha256,
            progress=download_progress,
        )

    @classmethod
    def list_local_models(cls, directories: PathArgument | Sequence[PathArgument] | None = None) -> list[ConfigType]:
        """Models on this disk, without opening a socket.

        Args:
            directories: where to look, one or several; without them in the default directory
                and in the desktop application's.

        Returns:
            Dicts with ``filename``, ``path``, ``directory``, ``model_name``, ``filesize`` in bytes,
            ``complete`` (``False`` where a part of a split file is missing), and what the cached
            catalogue knows.

        Raises:
            TypeError: a directory is no ``str`` or path.

        Example:
            >>> for found in GPT4All.list_local_models("models"):
            ...     print(found["model_name"], found["filesize"] >> 20, "MiB")
            SmolLM2-135M-Instruct.Q4_1.gguf 93 MiB
            all-MiniLM-L6-v2.gguf2.f16.gguf 44 MiB
        """
        from gpt4all.model_files import folders, store

        if directories is None:
            directories = [cls._default_directory(), *folders.desktop_model_directories()]
        return store.list_local_models(directories)

    @classmethod
    def delete_model(cls, model_name: PathArgument, model_path: PathArgument | None = None) -> list[Path]:
        """Deletes a model's files from the model directory, and nothing outside it.

        Args:
            model_name: as for ``retrieve_model``. All parts of a split file go, and what an
                unfinished download left.
            model_path: the directory it is in; ``DEFAULT_MODEL_DIRECTORY`` without it.

        Returns:
            The files that were there.

        Raises:
            FileNotFoundError: no such directory, or nothing to delete.
            DownloadError: the model is being downloaded.
            ValueError, TypeError: what is named is a directory, or not in the model directory.

        Example:
            >>> [path.name for path in GPT4All.delete_model("SmolLM2-135M-Instruct.Q4_1.gguf")]
            ['SmolLM2-135M-Instruct.Q4_1.gguf']
        """
        from gpt4all.model_files import store

        return store.delete_model(model_name, model_path, default_directory=cls._default_directory())

    @classmethod
    def verify_model(
        cls,
        model_name: PathArgument,
        model_path: PathArgument | None = None,
        *,
        expected_size: int | None = None,
        expected_md5: str | None = None,
        expected_sha256: str | None = None,
        verbose: bool = False,
        download_progress: DownloadCallback | None = None,
    ) -> Path:
        """Compares a file on the disk with the hash given, or else the cached catalogue's.

        Opens no socket.

        Args:
            model_name: as for ``retrieve_model``.
            model_path: the directory it is in.
            expected_size: bytes.
            expected_md5: hexadecimal.
            expected_sha256: hexadecimal.
            verbose: always shows the progress bar.
            download_progress: as for ``retrieve_model``.

        Returns:
            The path of the file.

        Raises:
            FileNotFoundError: no such directory or file.
            ChecksumError: the file differs.
            CancellationError: ``download_progress`` returned ``False``.
            ValueError, TypeError: no hash of it is known, or an argument makes no sense.

        Example:
            >>> try:
            ...     GPT4All.verify_model("SmolLM2-135M-Instruct.Q4_1.gguf", expected_md5="0" * 32)
            ... except ChecksumError as error:
            ...     print("download it again:", error)
            download it again: ...
        """
        from gpt4all.model_files import store

        return store.verify_model(
            model_name,
            model_path,
            default_directory=cls._default_directory(),
            expected_size=expected_size,
            expected_md5=expected_md5,
            expected_sha256=expected_sha256,
            verbose=verbose,
            progress=download_progress,
        )
