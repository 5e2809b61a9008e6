"""Finite automata: for what must be in several languages at once, or be of some length.

States are numbered from 0, the first one. All automata that meet share an alphabet, whose characters are those that no
language tells apart; a set of them is a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

from gpt4all.grammars.keywords import CannotError, Fuel
from gpt4all.grammars.regular import Characters, Choice, Language, Ranges, Repeat, Rule, Sequence, encoded

#: States of an automaton, which become rules of a grammar.
MAX_STATES = 4_000
#: States of the nondeterministic one that a language is first.
_MAX_PARTS = 30_000

#: What one step of work here is of those that a schema may make.
_WORK = 0.05

Step = tuple[int, int]  # a mask, and the state it leads to


class TooLargeError(CannotError):
    """More states than a grammar should have rules."""


def _too_large() -> NoReturn:
    raise TooLargeError("what must hold together here is too large for a grammar")


@dataclass(frozen=True)
class Automaton:
    """Deterministic: the masks of a state's steps have nothing in common. Every state leads to an accepting one."""

    steps: list[list[Step]]
    accepting: list[bool]

    def longest(self) -> int | None:
        """The length of the longest text, ``None`` where there is no limit."""
        missing = [len(steps) for steps in self.steps]
        users = _backwards(self.steps)
        height = [0] * len(self.steps)
        done = [state for state, count in enumerate(missing) if count == 0]
        for state in done:
            for user in users[state]:
                height[user] = max(height[user], height[state] + 1)
                missing[user] -= 1
                if missing[user] == 0:
                    done.append(user)
        return height[0] if len(done) == len(self.steps) else None

    def accepts(self, text: str, alphabet: Alphabet) -> bool:
        state = 0
        for character in text:
            bit = alphabet.bit(character)
            following = [target for mask, target in self.steps[state] if mask & bit]
            if not following:
                return False
            state = following[0]
        return self.accepting[state]

    def to_end(self) -> list[int]:
        """From each state, the length of the shortest way to an accepting one."""
        users = _backwards(self.steps)
        distance = [0 if accepts else -1 for accepts in self.accepting]
        found = [state for state, accepts in enumerate(self.accepting) if accepts]
        for state in found:
            for user in users[state]:
                if distance[user] < 0:
                    distance[user] = distance[state] + 1
                    found.append(user)
        return distance


class Alphabet:
    def __init__(self, languages: Iterable[Language]) -> None:
        sets = list(dict.fromkeys(found for language in languages for found in _sets(language)))
        cuts = sorted({cut for each in sets for first, last in each.ranges for cut in (first, last + 1)})
        members: dict[int, list[tuple[int, int]]] = {}
        inside = 0
        changes: dict[int, int] = {}
        for index, each in enumerate(sets):
            for first, last in each.ranges:
                for cut in (first, last + 1):
                    changes[cut] = changes.get(cut, 0) ^ 1 << index
        for cut, following in pairwise(cuts):
            inside ^= changes[cut]
            members.setdefault(inside, []).append((cut, following - 1))
        members.pop(0, None)
        self._ranges = list(members.values())
        self._masks = {
            each: sum(1 << bit for bit, inside in enumerate(members) if inside >> index & 1)
            for index, each in enumerate(sets)
        }

    def mask(self, characters: Characters) -> int:
        return self._masks[characters]

    def bit(self, character: str) -> int:
        """The mask of one character; 0 where no language has it."""
        code = ord(character)
        for bit, ranges in enumerate(self._ranges):
            if any(first <= code <= last for first, last in ranges):
                return 1 << bit
        return 0

    def ranges(self, mask: int) -> Ranges:
        found = sorted(pair for bit, ranges in enumerate(self._ranges) if mask >> bit & 1 for pair in ranges)
        joined: list[tuple[int, int]] = []
        for first, last in found:
            if joined and joined[-1][1] + 1 == first:
                joined[-1] = (joined[-1][0], last)
            else:
                joined.append((first, last))
        return tuple(joined)


def _sets(language: Language) -> Iterator[Characters]:
    if isinstance(language, Characters):
        yield language
    elif isinstance(language, Repeat):
        yield from _sets(language.part)
    else:
        for part in language.parts if isinstance(language, Sequence) else language.options:
            yield from _sets(part)


class _Ways:
    """The nondeterministic automaton of a language."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self.steps: list[list[Step]] = []
        self.jumps: list[list[int]] = []

    def state(self) -> int:
        if len(self.steps) >= _MAX_PARTS:
            _too_large()
        self.steps.append([])
        self.jumps.append([])
        return len(self.steps) - 1

    def add(self, language: Language, start: int) -> int:
        """Where one is after a text of the language."""
        if isinstance(language, Characters):
            end = self.state()
            self.steps[start].append((self._alphabet.mask(language), end))
            return end
        if isinstance(language, Sequence):
            for part in language.parts:
                start = self.add(part, start)
            return start
        end = self.state()
        if isinstance(language, Choice):
            for option in language.options:
                self.jumps[self.add(option, start)].append(end)
            return end
        for _ in range(language.least):
            start = self.add(language.part, start)
        if language.most is None:
            # Apart from what comes before: a way back there would count as coming from there.
            self.jumps[start].append(end)
            self.jumps[self.add(language.part, end)].append(end)
            return end
        for _ in range(language.most - language.least):
            self.jumps[start].append(end)
            start = self.add(language.part, start)
        self.jumps[start].append(end)
        return end

    def closed(self, states: Iterable[int]) -> frozenset[int]:
        """These and where one gets from them without a character."""
        found = list(dict.fromkeys(states))
        known = set(found)
        for state in found:
            for following in self.jumps[state]:
                if following not in known:
                    known.add(following)
                    found.append(following)
        return frozenset(known)


def automaton(language: Language, alphabet: Alphabet, fuel: Fuel) -> Automaton:
    """What follows the language, a character at a time.

    Raises:
        TooLargeError: it has too many states.
    """
    ways = _Ways(alphabet)
    start = ways.state()
    end = ways.add(language, start)

    def steps(states: frozenset[int]) -> Iterator[tuple[int, frozenset[int]]]:
        fuel.spend(len(states) * _WORK)
        targets: dict[int, list[int]] = {}
        for mask, target in (step for state in states for step in ways.steps[state]):
            targets.setdefault(target, []).append(mask)
        leads: dict[int, set[int]] = {}
        for target, masks in targets.items():
            rest = 0
            for mask in masks:
                rest |= mask
            # Cut what is there into what leads here as well and what does not.
            for other in list(leads):
                both = other & rest
                if both:
                    there = leads.pop(other)
                    if other & ~both:
                        leads[other & ~both] = there
                    leads[both] = there | {target}
                    rest &= ~both
            if rest:
                leads[rest] = {target}
        for mask, found in leads.items():
            yield mask, ways.closed(found)

    return explored(ways.closed([start]), steps, lambda states: end in states, fuel)


def meet(required: list[Automaton], excluded: list[Automaton], fuel: Fuel) -> Automaton:
    """The texts that all of ``required`` accept and none of ``excluded``."""
    wanted = len(required)
    machines = [*required, *excluded]
    rest = ~0

    def steps(states: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        ways = [machine.steps[state] if state >= 0 else [] for machine, state in zip(machines, states, strict=True)]
        for index in range(wanted, len(machines)):
            # An excluded automaton that goes nowhere excludes nothing any more.
            left = rest
            for mask, _ in ways[index]:
                left &= ~mask
            ways[index] = [*ways[index], (left, -1)]
        # One after the other: of the many that could be combined, hardly any have a character in common.
        together: list[tuple[int, tuple[int, ...]]] = [(rest, ())]
        for way in ways:
            together = [
                (mask & each, (*before, state)) for mask, before in together for each, state in way if mask & each
            ]
            fuel.spend(len(together) * _WORK)
        yield from together

    def accepts(states: tuple[int, ...]) -> bool:
        found = [state >= 0 and machine.accepting[state] for machine, state in zip(machines, states, strict=True)]
        return all(found[:wanted]) and not any(found[wanted:])

    return explored((0,) * len(machines), steps, accepts, fuel)


def smallest(machine: Automaton, fuel: Fuel) -> Automaton:
    """The same texts with as few states as there can be: those from which the same may come are one."""
    block, size = [int(accepts) for accepts in machine.accepting], 0
    while True:
        fuel.spend(len(block) * _WORK)
        numbers: dict[tuple[int, frozenset[tuple[int, int]]], int] = {}
        refined = []
        for state, ways in enumerate(machine.steps):
            leads: dict[int, int] = {}
            for mask, target in ways:
                leads[block[target]] = leads.get(block[target], 0) | mask
            refined.append(numbers.setdefault((block[state], frozenset(leads.items())), len(numbers)))
        if len(numbers) == size:
            break
        block, size = refined, len(numbers)
    first = {number: state for state, number in reversed(list(enumerate(block)))}
    steps = [[(mask, block[target]) for mask, target in machine.steps[first[number]]] for number in range(size)]
    return explored(block[0], lambda number: iter(steps[number]), lambda number: machine.accepting[first[number]], fuel)


def of_length(machine: Automaton, least: int, most: int | None, fuel: Fuel) -> Automaton:
    """Those of its texts that have from ``least`` to ``most`` characters."""
    to_end = machine.to_end()

    def steps(at: tuple[int, int]) -> Iterator[tuple[int, tuple[int, int]]]:
        state, length = at
        following = length + 1 if most is not None else min(length + 1, least)
        for mask, target in machine.steps[state]:
            if most is None or following + to_end[target] <= most:
                yield mask, (target, following)

    return explored((0, 0), steps, lambda at: machine.accepting[at[0]] and at[1] >= least, fuel)


def bodies(machine: Automaton, alphabet: Alphabet, rule: Rule, names: list[str]) -> list[str]:
    """What the rules of a grammar say, one with a name for each state, of what may come there."""
    sets = {mask: encoded(alphabet.ranges(mask), rule) for mask in {mask for way in machine.steps for mask, _ in way}}
    users = [len(found) for found in _backwards(machine.steps)]

    def onwards(mask: int, target: int) -> str:
        parts = [sets[mask]]
        # Where there is one way, and one way to get there, no rule is needed.
        while target and users[target] == 1 and len(machine.steps[target]) == 1 and not machine.accepting[target]:
            ((mask, target),) = machine.steps[target]
            parts.append(sets[mask])
        return " ".join(parts if not machine.steps[target] else [*parts, names[target]])

    return [
        " | ".join([*(onwards(mask, target) for mask, target in ways), *(['""'] if accepts else [])])
        for ways, accepts in zip(machine.steps, machine.accepting, strict=True)
    ]


def explored(
    start: object, steps: Callable[..., Iterator[tuple[int, Any]]], accepts: Callable[..., bool], fuel: Fuel
) -> Automaton:
    """The automaton of all that can be reached from ``start``, and from where an end can be reached."""
    numbers = {start: 0}
    found: list[object] = [start]
    ways: list[list[Step]] = []
    for state in found:
        merged: dict[int, int] = {}
        for mask, target in steps(state):
            number = numbers.setdefault(target, len(found))
            if number == len(found):
                found.append(target)
            merged[number] = merged.get(number, 0) | mask
        if len(found) > MAX_STATES:
            _too_large()
        fuel.spend((1 + len(merged)) * _WORK)
        ways.append([(mask, number) for number, mask in merged.items()])
    accepting = [bool(accepts(state)) for state in found]
    alive = [distance >= 0 for distance in Automaton(ways, accepting).to_end()]
    kept = [state for state in range(len(found)) if alive[state] or state == 0]
    renamed = {state: index for index, state in enumerate(kept)}
    return Automaton(
        [[(mask, renamed[target]) for mask, target in ways[state] if alive[target]] for state in kept],
        [accepting[state] for state in kept],
    )


def _backwards(steps: list[list[Step]]) -> list[list[int]]:
    users: list[list[int]] = [[] for _ in steps]
    for state, ways in enumerate(steps):
        for _, target in ways:
            users[target].append(state)
    return users
