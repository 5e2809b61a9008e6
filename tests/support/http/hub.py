"""What Hugging Face's hub answers about a repository of models."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.support.http.server import HttpServer

__all__ = ["add_repository", "api_path", "describe", "file_path", "sibling"]

_COMMIT = "c0ffee" * 6 + "c0ff"


def api_path(repo: str) -> str:
    return f"/api/models/{repo}"


def file_path(repo: str, name: str) -> str:
    return f"/{repo}/resolve/{_COMMIT}/{name}"


def sibling(name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """A file of a repository; ``changes`` take the place of what is right."""
    lfs = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
    return {"rfilename": name, "size": len(content), "lfs": lfs, **changes}


def describe(repo: str, siblings: list[dict[str, Any]]) -> bytes:
    return json.dumps({"_id": "1", "id": repo, "modelId": repo, "sha": _COMMIT, "siblings": siblings}).encode()


def add_repository(server: HttpServer, repo: str, files: dict[str, bytes]) -> None:
    """Puts a repository there: clients find the server in ``HF_ENDPOINT``."""
    readme = {"rfilename": "README.md", "size": 5, "blobId": "1"}
    server.add(api_path(repo), describe(repo, [readme, *(sibling(name, content) for name, content in files.items())]))
    for name, content in files.items():
        server.add(file_path(repo, name), content)
