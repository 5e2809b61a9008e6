"""Strings of JSON Schema, which may have patterns, formats and a length at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gpt4all.grammars.automata import (
    MAX_STATES,
    Alphabet,
    Automaton,
    TooLargeError,
    automaton,
    bodies,
    meet,
    of_length,
    smallest,
)
from gpt4all.grammars.formats import BOUNDED_IN_PARTS, FORMATS, LONGEST, SHORT, SHORT_URI, format_language
from gpt4all.grammars.keywords import CannotError, Fuel, NothingError, SchemaError, narrowest
from gpt4all.grammars.patterns import Pattern, read_pattern
from gpt4all.grammars.regular import ANY, Language, Repeat, choice, counted, lengths, text, written
from gpt4all.grammars.rules import Rules

Note = Callable[[str], None]


def string_rule(
    schemas: Sequence[dict[str, Any]],
    rules: Rules,
    fuel: Fuel,
    note: Note,
    excluded: Iterable[str] = (),
    patterns: Sequence[str] = (),
) -> str:
    """The rule for strings that all ``schemas`` accept.

    They are none of ``excluded``, and one of ``patterns``, if there are any, is found in them. ``note`` is told what is
    left out.

    Raises:
        ValueError: there is none, or no grammar for them.
    """
    least, allowed = narrowest(list(schemas), "minLength", "maxLength")
    if allowed is not None and least > allowed:
        raise NothingError("no string is long enough and short enough")
    found = [read_pattern(_text(schema, "pattern")) for schema in schemas if "pattern" in schema]
    wanted = [language for pattern in found for language in (pattern.found, *pattern.ahead)]
    if patterns:
        wanted.append(_one_of([read_pattern(pattern) for pattern in patterns]))
    unwanted = [language for pattern in found for language in pattern.not_ahead]
    unwanted += map(text, excluded)
    formats = {_text(schema, "format") for schema in schemas if "format" in schema} & FORMATS.keys()
    fitting = most = allowed
    if len(wanted) + len(unwanted) + len(formats) > 1:
        # Beside others, a format must not count: its states would be multiplied by theirs.
        fitting = SHORT if formats & BOUNDED_IN_PARTS else SHORT_URI
        most = _lower(allowed, SHORT) if formats & BOUNDED_IN_PARTS else allowed
    wanted += (format_language(name, fitting) for name in sorted(formats))
    if not wanted and not unwanted:
        return (
            "string" if least == 0 and most is None else _quoted(written(counted(ANY, least, most), rules.rule), rules)
        )
    if len(wanted) == 1 and not unwanted:
        shortest, longest = lengths(wanted[0])
        if shortest >= least and _within(longest, most):
            return _quoted(written(wanted[0], rules.rule), rules)
    alphabet, machine = _together(wanted or [Repeat(ANY)], unwanted, fuel)
    machine, most = _counted(machine, least, most, fuel)
    if most != allowed:
        note(f"strings of more than {most} characters are left out, as they must match more than one keyword")
    key = *wanted, None, *unwanted, least, most
    return _quoted(
        rules.group(key, len(machine.steps), lambda names: bodies(machine, alphabet, rules.rule, names)), rules
    )


class Finder:
    """Looks for patterns and formats in texts."""

    def __init__(self, fuel: Fuel) -> None:
        self._fuel = fuel
        self._known: dict[tuple[str, object], tuple[Alphabet, Automaton, bool] | None] = {}

    def found(self, pattern: str, text: str) -> bool | None:
        """Whether ``pattern`` is found in ``text``; ``None`` where that is not certain."""
        known = self._machine(("pattern", pattern), lambda: read_pattern(pattern))
        if known is None:
            return None
        alphabet, machine, looks = known
        found = machine.accepts(text, alphabet)
        # Of other characters, readers of patterns think in different ways.
        certain = text.isascii() and text.isprintable()
        return found if certain or (found and not looks) else None

    def fits(self, name: str, text: str) -> bool | None:
        """Whether ``text`` is in a format; ``None`` where that is not certain."""
        if name not in FORMATS:
            return True
        size = SHORT if len(text) <= SHORT else SHORT_URI if len(text) <= SHORT_URI else LONGEST
        known = self._machine((name, size), lambda: Pattern(format_language(name, size)))
        # Formats have less than the standard allows.
        return True if known and known[1].accepts(text, known[0]) else None

    def _machine(self, key: tuple[str, object], read: Callable[[], Pattern]) -> tuple[Alphabet, Automaton, bool] | None:
        self._fuel.spend()
        if key not in self._known:
            self._known[key] = None
            try:
                pattern = read()
                wanted, unwanted = [pattern.found, *pattern.ahead], list(pattern.not_ahead)
                self._known[key] = *_together(wanted, unwanted, self._fuel), bool(unwanted)
            except SchemaError:
                raise
            except ValueError:
                pass
        return self._known[key]


def _one_of(patterns: Sequence[Pattern]) -> Language:
    if any(pattern.ahead or pattern.not_ahead for pattern in patterns):
        raise CannotError("what looks ahead can not be done in names of properties")
    return choice(*(pattern.found for pattern in patterns))


def _within(longest: int | None, most: int | None) -> bool:
    return most is None or (longest is not None and longest <= most)


def _lower(most: int | None, limit: int) -> int:
    return limit if most is None else min(most, limit)


def _text(schema: dict[str, Any], keyword: str) -> str:
    if not isinstance(schema[keyword], str):
        raise SchemaError(f"{keyword} must be a string")
    return str(schema[keyword])


def _quoted(body: str, rules: Rules) -> str:
    return rules.rule(f'"\\"" {rules.rule(body)} "\\""')


def _together(wanted: list[Language], unwanted: list[Language], fuel: Fuel) -> tuple[Alphabet, Automaton]:
    """An automaton for what all of ``wanted`` have and none of ``unwanted``."""
    # Together they are one language, and mostly smaller.
    none_of = [choice(*unwanted)] if unwanted else []
    alphabet = Alphabet((*wanted, *none_of))
    machines, excluded = ([automaton(language, alphabet, fuel) for language in some] for some in (wanted, none_of))
    return alphabet, machines[0] if len(wanted) == 1 and not none_of else meet(machines, excluded, fuel)


def _counted(machine: Automaton, least: int, most: int | None, fuel: Fuel) -> tuple[Automaton, int | None]:
    """The texts of some length, and the most characters that they have, fewer where it would be too large."""
    shortest = machine.to_end()[0]
    if shortest < 0 or (most is not None and shortest > most):
        raise NothingError("no string is right for pattern, format and length at once")
    if shortest >= least and _within(machine.longest(), most):
        return machine, most
    machine = smallest(machine, fuel)
    if most is not None and most > MAX_STATES:
        most = max(least, MAX_STATES)
    while True:
        try:
            found = of_length(machine, least, most, fuel)
            break
        except TooLargeError:
            if most is None or most // 2 < max(least, shortest):
                raise
            most //= 2
    if found.to_end()[0] < 0:
        raise NothingError("no string is right for pattern, format and length at once")
    return found, most
