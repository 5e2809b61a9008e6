"""Model files on the Hugging Face hub, looked up through ``huggingface_hub`` (an extra)."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gpt4all.downloads import http
from gpt4all.downloads.checksums import Expected
from gpt4all.errors import DownloadError
from gpt4all.model_files.names import HubReference, check_filename, choose_quantisation, split_names

__all__ = ["HubFile", "resolve"]

# huggingface_hub has changed its HTTP client twice; these are the packages whose errors can come through it.
_HTTP_CLIENTS = frozenset({"requests", "httpx", "httpx2", "httpcore", "httpcore2"})


@dataclass(frozen=True)
class HubFile:
    """One file of a repository: its path there, its address at a fixed commit, and what the hub says it is."""

    path: str
    url: str
    expected: Expected
    token: str | None = field(default=None, repr=False)


def resolve(reference: HubReference) -> list[HubFile]:
    """The file that ``reference`` means, or all parts of a split in order, from one request to the hub.

    ``HF_ENDPOINT``, ``HF_TOKEN`` (or a stored login) and ``HF_HUB_OFFLINE`` count as everywhere with
    ``huggingface_hub``.

    Raises:
        DownloadError: that package is missing, the hub refuses, or nothing in the repository fits.
        requests.exceptions.ConnectionError: the hub cannot be reached.
    """
    try:
        huggingface_hub: Any = importlib.import_module("huggingface_hub")
    except ImportError as failure:
        message = (
            f"{reference.repo_id}: Hugging Face references need huggingface_hub: pip install huggingface_hub. "
            "If it is a path, there is no such file"
        )
        raise DownloadError(message) from failure

    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    token: str | None = huggingface_hub.get_token()
    with _translated(reference.repo_id, huggingface_hub.utils.HfHubHTTPError):
        info = huggingface_hub.HfApi(endpoint=endpoint, token=token or False).model_info(
            reference.repo_id,
            revision=reference.revision,
            files_metadata=True,
            timeout=http.POLICY.read_timeout,
        )
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    files = []
    for path in _paths(reference, siblings):
        sibling = siblings[path]
        lfs = sibling.lfs or {}
        try:
            expected = Expected(lfs.get("size") or sibling.size or None, None, lfs.get("sha256"))
        except (TypeError, ValueError) as failure:
            raise DownloadError(
                f"{reference.repo_id}: what the hub says of {path} makes no sense: {failure}"
            ) from failure
        files.append(
            HubFile(
                path,
                # The commit and not the branch: a resumed download must not mix two versions.
                huggingface_hub.hf_hub_url(reference.repo_id, path, revision=info.sha, endpoint=endpoint),
                expected,
                token,
            )
        )
    return files


def _paths(reference: HubReference, available: dict[str, Any]) -> list[str]:
    try:
        chosen = reference.path or choose_quantisation(available, reference.quantisation)
    except LookupError as failure:
        raise DownloadError(f"{reference.repo_id} has {failure}") from failure
    folder, slash, name = chosen.rpartition("/")
    paths = [f"{folder}{slash}{part}" for part in split_names(name)]
    for path in paths:
        if path not in available:
            raise DownloadError(f"{reference.repo_id} has no file {path}")
        for component in path.split("/"):
            check_filename(component)
    return paths


@contextlib.contextmanager
def _translated(repo_id: str, http_error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except http_error as failure:
        status = getattr(getattr(failure, "response", None), "status_code", None)
        hint = "; a gated or private repository needs its terms accepted and HF_TOKEN" if status in (401, 403) else ""
        first_line = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        raise DownloadError(f"{repo_id}: the hub answered {status}: {first_line}{hint}") from failure
    except Exception as failure:
        import requests

        if isinstance(failure, requests.exceptions.RequestException):
            raise
        if isinstance(failure, OSError) or type(failure).__module__.partition(".")[0] in _HTTP_CLIENTS:
            raise requests.exceptions.ConnectionError(f"{repo_id}: the hub cannot be reached: {failure}") from failure
        raise
