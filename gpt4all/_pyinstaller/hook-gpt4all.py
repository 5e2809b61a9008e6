"""Collects the native libraries, the modules that are imported late, and what installers wrote down."""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path

from PyInstaller.utils.hooks import (
    collect_data_files,
    collect_dynamic_libs,
    collect_entry_point,
    collect_submodules,
    copy_metadata,
    get_package_paths,
)

_GROUP = "gpt4all.backends"


def _libraries() -> list[tuple[str, str]]:
    """As data, so that they stay as they are and beside each other: each loads the others of its folder itself."""
    parent, package = get_package_paths("gpt4all")
    files = [path for path in Path(package, "_native", "lib").glob("[!.]*/*") if path.is_file()]
    return [(str(path), str(path.parent.relative_to(parent))) for path in files]


hiddenimports = collect_submodules("gpt4all", filter=lambda name: not name.startswith("gpt4all._pyinstaller"))
datas = _libraries() + collect_data_files("gpt4all", excludes=["_native/lib", "_pyinstaller"])
binaries = []
# A copy that no installer put there has none, and works too.
with contextlib.suppress(metadata.PackageNotFoundError):
    datas += copy_metadata("gpt4all")

# Backends that are distributions of their own, such as gpt4all-cuda13, with what their libraries need.
_entry_datas, _entry_modules = collect_entry_point(_GROUP)
datas += _entry_datas
hiddenimports += _entry_modules
for _point in metadata.entry_points(group=_GROUP):
    datas += collect_data_files(_point.module.partition(".")[0])
    datas += collect_dynamic_libs(_point.module.partition(".")[0])
    if _point.name == "cuda":
        for _name in ("nvidia.cu13", "nvidia.cuda_runtime", "nvidia.cublas"):
            binaries += collect_dynamic_libs(_name)
