"""Command line of ``scripts/dev wheels``."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from nativebuild.cache import cache_dir, remove_tree
from nativebuild.report import BuildError, run_quietly, say
from nativebuild.targets import TARGETS, Target, target_named

from wheels.check import check_wheel
from wheels.make import make_wheel, packing_tool

__all__ = ["main"]

_EPILOG = f"""\
targets: {", ".join(TARGETS)}
zig, which comes from the package index into the build cache, compiles for each on any Linux machine.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/dev wheels",
        description="Make wheels, of this platform and others, and check them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "what", nargs="*", metavar="TARGET|WHEEL", help="targets to make (default: all), or finished wheels"
    )
    parser.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="where wheels go (default: dist)")
    parser.add_argument(
        "--check", action="store_true", help="look into each wheel; a finished one is always looked into"
    )
    parser.add_argument(
        "--twice", action="store_true", help="make each again from nothing, without ccache, and compare the bytes"
    )
    parser.add_argument("--jobs", "-j", type=int, default=0, metavar="N", help="compile N files at a time")
    parser.add_argument("--allow-native", action="store_true", help="accept libraries for one machine's processor")
    parser.add_argument("--limit-mb", type=float, default=0, help="largest size (default: 40 with kompute, else 20)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Make and check; the exit status is 0 when all went well and every check passed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    finished = [Path(word) for word in options.what if word.endswith(".whl")]
    try:
        targets = [target_named(word) for word in options.what if not word.endswith(".whl")]
    except BuildError as error:
        parser.error(str(error))
    if not options.what:
        targets = list(TARGETS.values())
    sound, failures = True, dict[str, BuildError]()
    for path in finished:
        sound &= _check(path, options)
    for target in targets:
        try:
            wheel = _make(target, options)
            sound &= not options.check or _check(wheel, options)
            sound &= not options.twice or _same_again(target, wheel, options)
        except BuildError as error:
            failures[target.name] = error
            if len(targets) == 1:
                raise
            print(f"error: {target.name}: {error}", file=sys.stderr)
    for name in failures:
        say(f"{name} could not be made; the reason stands above")
    return int(not sound or bool(failures))


def _make(target: Target, options: argparse.Namespace) -> Path:
    began = time.monotonic()
    wheel = make_wheel(target, options.out, options.jobs)
    size = wheel.stat().st_size / 1e6
    say(f"{target.name}: {size:.1f} MB, {(time.monotonic() - began) / 60:.1f} minutes")
    print(wheel)
    return wheel


def _check(path: Path, options: argparse.Namespace) -> bool:
    problems = list(check_wheel(path, allow_native=options.allow_native, limit_mb=options.limit_mb))
    # On a system with glibc, auditwheel takes glibc's linker script libc.so for musl, and fails. It would have cuda's
    # runtime inside the wheel.
    if "-manylinux" in path.name and "_cuda" not in path.name:
        problems += _audit(path)
    print(f"{path.name}: {'ok' if not problems else f'{len(problems)} problem(s)'}")
    for problem in problems:
        print(f"  {problem}")
    return not problems


def _audit(path: Path) -> list[str]:
    """What auditwheel thinks of the tag."""
    result = run_quietly([packing_tool("auditwheel"), "show", path])
    found = re.search(r'consistent\s+with\s+the\s+following\s+platform\s+tag:\s*"([^"]+)"', result.stdout)
    found = found or re.search(r'is\s+consistent\s+with\s+platform\s+tag:?\s*"([^"]+)"', result.stdout)
    promised = path.name.removesuffix(".whl").rsplit("-", 1)[1].split(".")
    if result.returncode != 0 or found is None or found[1] not in promised:
        return [f"auditwheel: {' '.join(result.stdout.split())}"]
    return []


def _same_again(target: Target, wheel: Path, options: argparse.Namespace) -> bool:
    """Whether a second build, which shares nothing with the first but the sources' archive, gives the same bytes."""
    folder = cache_dir() / "again"
    remove_tree(folder)
    environment = {**os.environ, "GPT4ALL_BUILD_CACHE": str(folder / "cache"), "CCACHE_DISABLE": "1"}
    command = [sys.executable, str(Path(__file__).resolve().parents[1] / "commands"), "wheels", target.name]
    command += ["--out", str(folder / "dist"), "--jobs", str(options.jobs)]
    say(f"making {target.name} again, to compare")
    if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode:
        raise BuildError("the second build failed; the reason stands above")
    again = folder / "dist" / wheel.name
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, again)]
    same = hashes[0] == hashes[1]
    print(f"{wheel.name}: {'the same bytes again' if same else 'other bytes the second time'}, sha256 {hashes[0]}")
    if same:
        remove_tree(folder)
    else:
        remove_tree(folder / "cache")
        for name in _differing(wheel, again):
            print(f"  {name} differs from that in {again}")
    return same


def _differing(one: Path, other: Path) -> list[str]:
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(other) as second:
        sums = [{item.filename: (item.CRC, item.file_size) for item in wheel.infolist()} for wheel in (first, second)]
    return sorted(name for name in sums[0].keys() | sums[1].keys() if sums[0].get(name) != sums[1].get(name))
