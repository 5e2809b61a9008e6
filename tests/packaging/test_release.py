"""Releases: the version stands in one place, the changelog knows it, and the workflow names what there is."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands.table import COMMANDS
from installs.ways import WAYS
from nativebuild.targets import TARGETS

from gpt4all import __version__

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

needs_workflow = pytest.mark.skipif(not WORKFLOW.exists(), reason="a source distribution has no workflows")


@pytest.fixture(scope="module")
def workflow() -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with huggingface_hub (extra: hub)")
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def steps(workflow: Any) -> Iterator[tuple[str, Any]]:
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            yield name, step


def commands(workflow: Any) -> list[list[str]]:
    """The words of each command, those of a matrix filled in."""
    lines = []
    for name, step in steps(workflow):
        for line in step.get("run", "").splitlines():
            matrix = workflow["jobs"][name].get("strategy", {}).get("matrix", {})
            values = matrix.get("target", [None])
            lines += [line.replace("${{ matrix.target }}", str(value)).split() for value in values]
    return lines


def test_the_changelog_has_this_version() -> None:
    """Either released, with its date, or as what comes next."""
    newest = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", CHANGELOG, re.MULTILINE)[0]
    if newest == ("Unreleased", ""):
        assert f"To become {__version__}." in CHANGELOG
    else:
        assert newest[0] == __version__
        assert newest[1]


def test_the_version_stands_in_one_place() -> None:
    projects = [ROOT / "pyproject.toml", *ROOT.glob("distributions/*/pyproject.toml")]
    for project in projects:
        text = project.read_text(encoding="utf-8")
        assert re.search(r"^version *=", text, re.MULTILINE) is None, project
        assert re.search(r'^path = "(\.\./)*gpt4all/_version\.py"$', text, re.MULTILINE), project


@needs_workflow
def test_the_workflow_names_commands_that_exist(workflow: Any) -> None:
    """Scripts, their subcommands, options, targets and ways."""
    named = commands(workflow)
    scripts = [words for words in named if words[0].startswith(("scripts/", "./"))]
    assert {words[0] for words in scripts} == {"scripts/dev", "./build_backends.sh"}
    assert all((ROOT / words[0]).is_file() for words in scripts)
    used = [words[1:] for words in named if words[0] == "scripts/dev"]
    used += [words[2:] for words in named if words[:2] == ["python", "scripts/commands"]]
    assert {words[0] for words in used} == {"wheels", "installs"} <= set(COMMANDS)
    for subcommand, *words in used:
        command = [sys.executable, str(ROOT / "scripts" / "commands"), subcommand, "--help"]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert [word for word in words if word.startswith("--") and word not in usage] == []
    targets = {words[1] for words in used if words[0] == "wheels" and not words[1].startswith("-")}
    # Whose metal backend only a Mac compiles.
    assert targets == set(TARGETS) - {"macosx-arm64"}
    ways = {word for words in used for flag, word in itertools.pairwise(words) if flag == "--way"}
    assert ways == set(WAYS) - {"editable", "c"}


@needs_workflow
def test_every_wheel_is_tried_or_has_no_runner(workflow: Any) -> None:
    made = {step["with"]["name"] for _, step in steps(workflow) if "upload-artifact" in step.get("uses", "")}
    made = {name.replace("${{ matrix.target }}", target) for name in made for target in TARGETS}
    tried = {f"dist-{row['wheel']}" for row in workflow["jobs"]["try"]["strategy"]["matrix"]["include"]}
    assert tried <= made
    assert {f"dist-{target}" for target in TARGETS if not target.startswith("musllinux")} == tried


@needs_workflow
def test_only_a_tag_publishes_and_only_that_job_may_sign(workflow: Any) -> None:
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["if"] == "github.ref_type == 'tag'"
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish", "version"}
    assert "secrets." not in WORKFLOW.read_text(encoding="utf-8")


@needs_workflow
@pytest.mark.skipif(shutil.which("bash") is None, reason="runs a step of the workflow in bash")
@pytest.mark.parametrize(
    ("tag", "heading", "agreed"),
    [
        ("v2.9.0", "## [2.9.0] - 2026-12-01", True),
        ("v2.9.1", "## [2.9.0] - 2026-12-01", False),
        ("v2.9.0", "## [Unreleased]", False),
        ("2.9.0", "## [2.9.0] - 2026-12-01", False),
    ],
)
def test_a_tag_has_to_agree_with_version_and_changelog(
    workflow: Any, tmp_path: Path, tag: str, heading: str, agreed: bool
) -> None:
    (step,) = (step for name, step in steps(workflow) if name == "version" and "run" in step)
    (tmp_path / "gpt4all").mkdir()
    text = (ROOT / "gpt4all" / "_version.py").read_text(encoding="utf-8")
    (tmp_path / "gpt4all" / "_version.py").write_text(text.replace(__version__, "2.9.0"))
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    environment = {**os.environ, "GITHUB_REF_NAME": tag}
    # As the forge runs a step's lines.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    assert (subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 0) == agreed
