"""What libraries can be cross-compiled for: the platforms that have wheels."""

from __future__ import annotations

from dataclasses import dataclass

from nativebuild.report import BuildError

__all__ = ["TARGETS", "Target", "target_named"]


@dataclass(frozen=True)
class Target:
    """A platform: its name among wheels, zig's for it, CMake's two for it, and the backends that its wheel carries."""

    name: str
    triple: str
    system: str
    machine: str
    backends: tuple[str, ...]
    tag: str
    """The platform tag of the wheel, which the finished libraries have to keep."""

    @property
    def platform(self) -> str:
        """As ``sys.platform`` has it."""
        return {"Linux": "linux", "Windows": "win32", "Darwin": "darwin"}[self.system]

    def definitions(self) -> dict[str, str]:
        """What CMake has to be told beside the compilers."""
        definitions = {
            "GPT4ALL_TARGET": self.name,
            "CMAKE_SYSTEM_NAME": self.system,
            "CMAKE_SYSTEM_PROCESSOR": self.machine,
            # What is asked of the compiler is asked of it alone: zig compiles its C++ library anew for each processor.
            "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
        }
        if self.system == "Darwin":
            definitions["CMAKE_OSX_DEPLOYMENT_TARGET"] = "11.0"
            # Never called, since libraries are linked with the names and paths that they keep; but CMake wants one.
            definitions["CMAKE_INSTALL_NAME_TOOL"] = "true"
            # Apple's frameworks do not come with the compiler; what they would do, ggml's own code does.
            definitions["GGML_ACCELERATE"] = "OFF"
        return definitions


# 2.17 is the oldest glibc that pip's tags and the supported Pythons meet on.
TARGETS = {
    target.name: target
    for target in (
        Target(
            "manylinux-x86_64",
            "x86_64-linux-gnu.2.17",
            "Linux",
            "x86_64",
            ("cpu", "kompute"),
            "manylinux_2_17_x86_64.manylinux2014_x86_64",
        ),
        Target(
            "manylinux-aarch64",
            "aarch64-linux-gnu.2.17",
            "Linux",
            "aarch64",
            ("cpu",),
            "manylinux_2_17_aarch64.manylinux2014_aarch64",
        ),
        Target("musllinux-x86_64", "x86_64-linux-musl", "Linux", "x86_64", ("cpu",), "musllinux_1_2_x86_64"),
        Target("musllinux-aarch64", "aarch64-linux-musl", "Linux", "aarch64", ("cpu",), "musllinux_1_2_aarch64"),
        Target("win_amd64", "x86_64-windows-gnu", "Windows", "AMD64", ("cpu", "kompute"), "win_amd64"),
        Target("win_arm64", "aarch64-windows-gnu", "Windows", "ARM64", ("cpu",), "win_arm64"),
        Target("macosx-arm64", "aarch64-macos.11.0", "Darwin", "arm64", ("cpu",), "macosx_11_0_arm64"),
        Target("macosx-x86_64", "x86_64-macos.11.0", "Darwin", "x86_64", ("cpu",), "macosx_11_0_x86_64"),
    )
}


def target_named(name: str) -> Target:
    """The target, or an error that lists those there are."""
    if name not in TARGETS:
        raise BuildError(f"unknown target {name!r}; known: {', '.join(TARGETS)}")
    return TARGETS[name]
