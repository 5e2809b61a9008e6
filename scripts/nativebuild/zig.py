"""The cross compiler: zig's clang with its C libraries, from the ``ziglang`` wheel, behind small scripts."""

from __future__ import annotations

import sys
from pathlib import Path

from nativebuild.cache import cache_dir, lock
from nativebuild.report import BuildError
from nativebuild.targets import Target
from nativebuild.tools import Compilers
from nativebuild.venvs import ensure_venv, pip_install

__all__ = ["LLVM_VERSION", "VERSION", "ZigTools", "zig_tools"]

#: Another version would compile other libraries.
VERSION = "0.17.1"
#: Of the clang in it, and of its libc++.
LLVM_VERSION = "22.1.8"

# A compiler's script. What differs from how clang is called elsewhere:
# - zig knows no Arm architectures, only a processor with features, and of macOS's libraries only one kind;
# - its frame pointers, and products that it rounds before it adds them, cost speed.
_COMPILER = """\
#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR='@CACHE@' ZIG_LOCAL_CACHE_DIR='@CACHE@'
count=$#
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
    -march=armv*)
        features=$(printf '%s' "${argument#-march=arm}" |
            sed -e 's/^v\\([0-9]*\\)\\.\\([0-9]*\\)-a/v\\1_\\2a/' -e 's/^v\\([0-9]*\\)-a/v\\1a/' \\
                -e 's/+fp16/+fullfp16/g' -e 's/+no\\([a-z0-9]*\\)/-\\1/g')
        set -- "$@" "-mcpu=generic+$features"
        ;;
    -bundle) set -- "$@" -dynamiclib ;;
    *) set -- "$@" "$argument" ;;
    esac
done
exec '@ZIG@' @TOOL@ -target @TRIPLE@ -g0 -fomit-frame-pointer -ffp-contract=fast "$@"
"""
_OTHER = """\
#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR='@CACHE@' ZIG_LOCAL_CACHE_DIR='@CACHE@'
exec '@ZIG@' @TOOL@ "$@"
"""
_SCRIPTS = {
    "clang": ("cc", _COMPILER),
    "clang++": ("c++", _COMPILER),
    "ar": ("ar", _OTHER),
    "ranlib": ("ranlib", _OTHER),
}

# libc++ takes types of one name for one type only where they are one object. Each of our libraries has its own hidden
# libc++, so that std::bad_alloc thrown in one would not be std::bad_alloc in another; GCC compares names.
_TYPEINFO = """\
#        else
#          define _LIBCPP_TYPEINFO_COMPARISON_IMPLEMENTATION 1
"""
# Clang declares operator new and delete for all the world, and zig's linker knows no list of what a library for macOS
# may let out: the assembler hides them, else dyld would put one library's in the place of all others'.
_END_OF_NEW = "// ------------------ END COPY ------------------\n"
_PLACED = ("", "RKSt9nothrow_t", "St11align_val_t", "St11align_val_tRKSt9nothrow_t")
_OPERATORS = (
    *(f"_Zn{kind}m{rest}" for kind in "wa" for rest in _PLACED),
    *(f"_Zd{kind}Pv{rest}" for kind in "la" for rest in (*_PLACED, "m", "mSt11align_val_t")),
)
_HIDDEN = "".join(f'__asm__(".private_extern _{name}");\n' for name in _OPERATORS)
#: What is changed in libc++: the file, a text in it, and what stands there instead.
_CHANGES = (
    ("include/typeinfo", _TYPEINFO, _TYPEINFO.replace("IMPLEMENTATION 1", "IMPLEMENTATION 2")),
    ("src/new.cpp", _END_OF_NEW, f"#ifdef __APPLE__\n{_HIDDEN}#endif\n"),
)


class ZigTools:
    """The scripts for one target."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.target = target

    def compilers(self) -> Compilers:
        description = f"zig {VERSION} for {self.target.triple}, clang"
        return Compilers(self.folder / "clang", self.folder / "clang++", description)

    def definitions(self) -> dict[str, str]:
        return {"CMAKE_AR": str(self.folder / "ar"), "CMAKE_RANLIB": str(self.folder / "ranlib")}


def zig_tools(target: Target) -> ZigTools:
    """Scripts that are called as ``clang`` and compile for the target; the compiler is fetched where it is missing."""
    zig = _installed()
    folder = cache_dir() / f"zig-{VERSION}" / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, (tool, text) in _SCRIPTS.items():
        values = {
            "@CACHE@": str(cache_dir() / "zig-cache"),
            "@ZIG@": str(zig),
            "@TOOL@": tool,
            "@TRIPLE@": target.triple,
        }
        for key, value in values.items():
            text = text.replace(key, value)
        script = folder / name
        if not script.exists() or script.read_text(encoding="utf-8") != text:
            script.write_text(text, encoding="utf-8")
            script.chmod(0o755)
    return ZigTools(folder, target)


def _installed() -> Path:
    """zig in an environment of its own, with the changes to libc++ above."""
    if sys.platform == "win32":
        raise BuildError("wheels for other platforms are made on Linux or macOS")
    venv = cache_dir() / f"zig-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    with lock("zig"):
        python = ensure_venv(venv)
        package = _package(python)
        if package is None:
            pip_install(python, [f"ziglang=={VERSION}"], doing=f"fetching the compiler zig {VERSION} (about 100 MB)")
            package = _package(python)
        if package is None:
            raise BuildError(f"ziglang {VERSION} does not have the form that was expected")
        for name, before, after in _CHANGES:
            _change(package / "lib" / "libcxx" / name, before, after)
    return package / "zig"


def _package(python: Path) -> Path | None:
    venv = python.parent.parent
    found = next(iter(sorted(venv.glob("lib/python*/site-packages/ziglang"))), None)
    return found if found is not None and (found / "zig").exists() else None


def _change(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    if after in text:
        return
    if text.count(before) != 1:
        raise BuildError(f"{path} has not the lines that are to be changed; was zig's version moved?")
    path.write_text(text.replace(before, after), encoding="utf-8")
