"""Where the machine does not give each thread a processor: fewer threads compute, and texts stay what they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from gpt4all import Embed4All, GPT4All
from tests.support.fake.backend import build_thread_counts

#: More than flash attention takes for short: it cuts the cells into parts from 512 on.
PROMPT = " ".join(f"Line {number} says that {number} is the number after {number - 1}." for number in range(1, 36))

#: Seconds that a computation takes and that its threads compute, for 1, 2, … threads.
Machine = list[tuple[float, float]]
Run = Callable[..., list[int]]


def machine(*speeds: float, work: float = 0.02) -> Machine:
    """A computation takes ``work`` where one thread has a processor, and goes so many times as fast with 1, 2, …."""
    return [(work / speed, work) for speed in speeds]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_thread_counts(tmp_path_factory.mktemp("threads") / "thread_counts")


@pytest.fixture
def run(program: Path) -> Run:
    """``run(machine, ...)``: the number of threads in each of the computations, one on each of those machines."""

    def numbers(*machines: Machine, pause: float = 1e-4) -> list[int]:
        lines = [f"{pause} " + " ".join(f"{wall} {computing}" for wall, computing in each) for each in machines]
        command = [str(program), str(len(machines[0]))]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
        return [int(line) for line in done.stdout.split()]

    return numbers


FREE, BUSY = machine(1, 1.9), machine(0.45, 0.25)


def test_a_free_machine_is_left_alone(run: Run) -> None:
    assert set(run(*[FREE] * 1000)) == {2}


def test_a_moment_of_others_changes_nothing(run: Run) -> None:
    machines = [FREE] * 20 + [BUSY] + [FREE] * 20
    assert set(run(*machines)) == {2}


def test_threads_that_do_not_get_processors_become_fewer_and_more_are_tried_rarely(run: Run) -> None:
    numbers = run(*[FREE] * 50 + [BUSY] * 1000)
    assert numbers[:50] == [2] * 50
    assert numbers[54:80].count(1) > 20
    seconds = {
        number: sum(wall for n in numbers[100:] if n == number for wall in [BUSY[n - 1][0]]) for number in (1, 2)
    }
    assert seconds[2] < 0.1 * seconds[1]


def test_they_come_back_when_the_others_are_gone(run: Run) -> None:
    numbers = run(*[BUSY] * 500 + [FREE] * 500)
    assert 2 in numbers[500:560]
    assert numbers[600:] == [2] * 400


def test_after_a_pause_more_are_tried_at_once(run: Run) -> None:
    numbers = run(*[BUSY] * 100, pause=30)
    assert numbers.count(2) > 20


def test_the_best_of_many_is_found_and_kept(run: Run) -> None:
    """Of eight processors others take two: seven threads wait for each other, and six do not."""

    def eight(free: int) -> Machine:
        return machine(*(n if n <= free else 0.4 * free for n in range(1, 9)), work=0.04)

    numbers = run(*[eight(8)] * 50 + [eight(6)] * 1000 + [eight(8)] * 1000)
    runs = [(number, len(list(same))) for number, same in groupby(numbers)]
    assert max(runs[1:], key=lambda run: run[1])[0] == 8
    assert numbers[200:1050].count(6) > 800
    assert set(numbers[-500:]) == {8}


def test_more_threads_stay_where_they_are_worth_it(run: Run) -> None:
    """As with prompts, whose threads wait less for each other, and get a share of the machine each."""
    numbers = run(*[machine(0.4, 0.8)] * 1000)
    assert numbers.count(2) > 900


ONE_PROCESSOR = """
import json, os, sys
from pathlib import Path
from gpt4all import GPT4All

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
path, prompt = sys.argv[1:]


def seconds():
    ticks = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rsplit(") ", 1)[1].split()
        ticks[task.name] = int(fields[11]) + int(fields[12])
    return ticks


with GPT4All(path, n_ctx=1024, n_threads=2) as model:
    texts = [model.generate(prompt, max_tokens=48, temp=0)]
    before = seconds()
    texts.append(model.generate(prompt, max_tokens=48, temp=0))
    after = seconds()
shares = sorted(after[task] - before.get(task, 0) for task in after)
print(json.dumps([shares[-2] / shares[-1], texts]))
"""


@pytest.mark.model
@pytest.mark.filterwarnings("ignore:n_threads=2, but only 1")
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs a system that can keep a process on a processor"
)
def test_two_threads_on_one_processor_become_one_and_say_the_same(model_file: Callable[[str], Path]) -> None:
    path = model_file("smollm2")
    with GPT4All(path, n_ctx=1024, n_threads=2) as model:
        texts = [model.generate(PROMPT, max_tokens=48, temp=0) for _ in range(2)]
        assert model.last_generation is not None
        assert model.last_generation.prompt_tokens > 512
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESSOR, str(path), PROMPT], capture_output=True, text=True, check=True
    )
    share, alone = json.loads(done.stdout)
    assert alone == texts
    assert share < 0.5


@pytest.mark.model
@pytest.mark.filterwarnings("ignore:n_threads=2, but only 1")
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs a system that can keep a process on a processor"
)
@pytest.mark.parametrize("name", ["minilm", "tiny-qwen3-embedding"])
def test_vectors_stay_the_same_on_one_processor(model_file: Callable[[str], Path], name: str) -> None:
    texts = [f"sentence {number} of some that are embedded one by one" for number in range(60)]

    def vectors() -> list[list[float]]:
        with Embed4All(model_file(name), n_threads=2) as model:
            return [model.embed(text, prefix="") for text in texts]

    expected = vectors()
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})  # of this thread, and so of those that it starts
    try:
        assert vectors() == expected
    finally:
        os.sched_setaffinity(0, usable)
