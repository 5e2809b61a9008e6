"""Command line of ``build_backends.sh``, which is ``scripts/dev build``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nativebuild.build import build_backend
from nativebuild.options import BACKENDS, SANITIZERS, VARIANTS, BuildOptions, backends_named
from nativebuild.reference import build_reference
from nativebuild.report import BuildError

__all__ = ["main"]

_EPILOG = """\
The libraries go to gpt4all/_native/lib/<backend>/, those with a sanitizer to the build cache. Sources, tools and
objects are kept there too ($GPT4ALL_BUILD_CACHE, else gpt4all-build in the user's cache directory); it may be deleted
at any time.

environment:
  LLAMA_CPP_SOURCE_DIR   a local llama.cpp source tree instead of the pinned one
  GPT4ALL_BUILD_CACHE    where the build cache is
  CC, CXX                the compilers; CFLAGS, CXXFLAGS and LDFLAGS are heeded too
  CUDACXX                the nvcc for the cuda backend
  VULKAN_SDK             the Vulkan SDK for the kompute backend
"""


def _job_number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number, 1 or more")
    return int(text)


def _definition(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build_backends.sh",
        description="Build the native backends from the pinned llama.cpp.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known = ", ".join(BACKENDS)
    parser.add_argument("backend", nargs="?", default="cpu", help=f"which backend ({known} or all; default: cpu)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--native",
        dest="variants",
        action="store_const",
        const="native",
        help="only for this machine's processor, for development (default)",
    )
    how.add_argument(
        "--variants",
        choices=VARIANTS,
        help="'all': a loadable module for every kind of processor, the best chosen at load time; what wheels carry",
    )
    parser.add_argument("--jobs", "-j", type=_job_number, default=0, metavar="N", help="compile N files at a time")
    parser.add_argument("--debug", action="store_true", help="with debug information and assertions")
    parser.add_argument("--sanitize", choices=SANITIZERS, default="", help="with a sanitizer of the compiler")
    parser.add_argument(
        "--reference", action="store_true", help="also build llama.cpp's own programs, which tests compare with"
    )
    parser.add_argument(
        "--cuda-architectures",
        default="",
        metavar="LIST",
        help="what the cuda backend is compiled for, as CMake has it: '86-real;90-virtual', 'native' for the GPU here",
    )
    parser.add_argument(
        "--define",
        type=_definition,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a CMake definition, such as GGML_CUDA_FA=OFF; for development",
    )
    parser.add_argument("--clean", action="store_true", help="throw the cached build away first")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the arguments ask for; the exit status is 0 when all of it is in place."""
    parser = _parser()
    options = parser.parse_args(arguments)
    how = BuildOptions(
        options.variants or "native",
        options.debug,
        options.sanitize,
        options.jobs,
        options.cuda_architectures,
        tuple(options.define),
    )
    try:
        backends = backends_named(options.backend)
    except BuildError as error:
        parser.error(str(error))
    for backend in backends:
        build_backend(backend, how, clean=options.clean)
    if options.reference:
        build_reference(BuildOptions(jobs=options.jobs))
    return 0
