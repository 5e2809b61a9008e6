"""JSON Schema as a grammar: every text of the grammar is JSON that the schema accepts.

The reverse need not hold. Where a schema allows more than a grammar can say, the grammar says less: no additional
properties beside declared ones, the properties in the schema's order, numbers of at most 15 digits. What would break
the promise, a keyword that cannot be done or two that would have to hold at once, is an error.

llama.cpp has such a converter too, which prefers to go on: it passes over keywords it does not know, and its patterns
let unescaped quotes into strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote

from gpt4all._options_disjoint import disjoint
from gpt4all._options_formats import FORMATS, UNSUPPORTED_FORMATS
from gpt4all._options_keywords import (
    KEYWORDS,
    UNSUPPORTED,
    WHOLE,
    SchemaError,
    bound,
    counts,
    decimal,
    is_a,
    mapping,
    whole,
)
from gpt4all._options_narrowings import Narrowings
from gpt4all._options_numbers import INTEGER, NUMBER, Bound, integer_range, number_range
from gpt4all._options_patterns import bounded, pattern_grammar, quoted

T = TypeVar("T")
Schema = Any

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

_MAX_SCHEMA_BYTES = 1 << 20
_MAX_NESTING = 60
#: Most multiples of ``multipleOf`` that are listed one by one.
_MAX_MULTIPLES = 1000

#: The rules that any schema may use. White space is bounded, as a model could go on with it for ever.
_BASE = {
    "ws": '| " " | "\\n" [ \\t]{0,20}',
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" unit)',
    # No surrogates, of which two make one character.
    "unit": "([0-9A-CE-Fa-ce-f] [0-9A-Fa-f] | [dD] [0-7]) [0-9A-Fa-f]{2}",
    "string": r'"\"" char* "\""',
    "number": NUMBER,
    "integer": INTEGER,
    "boolean": '"true" | "false"',
    "null": '"null"',
    "object": '"{" ws (string ":" ws value ("," ws string ":" ws value)* ws)? "}"',
    "array": '"[" ws (value ("," ws value)* ws)? "]"',
    "value": "object | array | string | number | boolean | null",
}


def schema_grammar(schema: Schema) -> str:
    """The grammar of JSON texts that ``schema`` accepts.

    Raises:
        ValueError: the schema is wrong, accepts nothing, or has what cannot be done; the message says where.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"json_schema is not JSON: {error}") from None
    if len(text) > _MAX_SCHEMA_BYTES:
        raise ValueError(f"json_schema is larger than {_MAX_SCHEMA_BYTES} bytes")
    converter = _Converter(json.loads(text))
    grammar = converter.grammar()
    converter.narrowings.warn(text)
    return grammar


class _Converter:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._rules: dict[str, str] = dict(_BASE)
        self._names: dict[str, str] = {}  # by what the rule says
        self._references: dict[str, str] = {}
        self._nesting = 0
        self.narrowings = Narrowings()

    def grammar(self) -> str:
        self._rules["root"] = self._visit(self._root, "#")
        return "".join(f"{name} ::= {body}\n" for name, body in self._rules.items())

    def _fail(self, path: str, why: str) -> NoReturn:
        """What is here cannot be done: the closest part that a value can do without is left out."""
        raise ValueError(f"json_schema: {path}: {why}")

    def _wrong(self, path: str, why: str) -> NoReturn:
        """The schema itself is wrong."""
        raise SchemaError(f"json_schema: {path}: {why}")

    def _call(self, path: str, function: Callable[..., T], *arguments: Any) -> T:
        """``function``, whose errors do not know where in the schema they are."""
        try:
            return function(*arguments)
        except SchemaError as error:
            self._wrong(path, str(error))
        except ValueError as error:
            self._fail(path, str(error))

    def _optional(self, schema: Schema, path: str, what: str) -> str | None:
        """The name of the rule for a schema, or ``None`` where it cannot be done and is left out, which is noted."""
        mark = len(self.narrowings)
        try:
            return self._visit(schema, path)
        except SchemaError:
            raise
        except ValueError as error:
            self.narrowings.forget(mark)
            where, _, why = str(error).removeprefix("json_schema: ").partition(": ")
            self.narrowings.add(path, f"{what} is left out: {why if where == path else f'{where}: {why}'}")
            return None

    def _rule(self, body: str) -> str:
        """The name of a rule that says ``body``."""
        if body in self._rules:
            return body
        if body not in self._names:
            self._names[body] = f"r{len(self._names)}"
            self._rules[self._names[body]] = body
        return self._names[body]

    def _visit(self, schema: Schema, path: str) -> str:
        """The name of the rule for a schema."""
        if self._nesting >= _MAX_NESTING:
            self._fail(path, f"the schema is nested more than {_MAX_NESTING} deep")
        self._nesting += 1
        try:
            return self._rule(self._expression(schema, path))
        finally:
            self._nesting -= 1

    def _expression(self, schema: Schema, path: str) -> str:
        if schema is True:
            return "value"
        if schema is False:
            self._fail(path, "nothing matches the schema false")
        if not isinstance(schema, dict):
            self._wrong(path, f"a schema is an object, not {schema!r}"[:200])
        unsupported = sorted(UNSUPPORTED & schema.keys())
        if unsupported:
            self._fail(path, f"the keyword {unsupported[0]!r} cannot be done")
        for keyword in WHOLE:
            if keyword in schema:
                return self._whole(keyword, schema, path)
        types = self._types(schema, path)
        if types is None:
            return "value"
        return " | ".join(self._rule(self._of_type(name, schema, path)) for name in types)

    def _of_type(self, name: str, schema: dict[str, Any], path: str) -> str:
        if name in ("number", "integer"):
            return self._number(schema, path, name)
        visitors = {"object": self._object, "array": self._array, "string": self._string}
        # What is left, boolean and null, has a rule of its own.
        return visitors[name](schema, path) if name in visitors else name

    def _types(self, schema: dict[str, Any], path: str) -> list[str] | None:
        """The types to generate: those declared, or those that other keywords are about; ``None`` for any value."""
        if "type" not in schema:
            for name, keywords in KEYWORDS.items():
                if keywords & schema.keys():
                    return [name]
            return None
        declared = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        for name in declared:
            if name not in _TYPES:
                self._wrong(path, f"there is no type {name!r}")
        if not declared:
            self._wrong(path, "type is empty")
        return list(dict.fromkeys(declared))

    # Keywords that say everything

    def _whole(self, keyword: str, schema: dict[str, Any], path: str) -> str:
        known = {"type", *WHOLE}.union(*KEYWORDS.values())
        beside = sorted((known & schema.keys()) - {keyword} - ({"type"} if keyword in ("enum", "const") else set()))
        if beside:
            self._fail(path, f"{keyword!r} and {beside[0]!r} side by side cannot be done")
        value = schema[keyword]
        if keyword == "$ref":
            return self._reference(value, path)
        if keyword == "const":
            return self._literals([value], schema, path)
        if not isinstance(value, list) or not value:
            self._wrong(path, f"{keyword} must be a list that is not empty")
        if keyword == "enum":
            return self._literals(value, schema, path)
        if keyword == "allOf" and len(value) > 1:
            self._fail(path, "allOf of more than one schema cannot be done")
        if keyword == "oneOf":
            for index, one in enumerate(value):
                for other in range(index):
                    if not disjoint(value[other], one, lambda ref: self._call(path, self._resolve, ref)):
                        self._fail(
                            path,
                            f"oneOf: alternatives {other} and {index} may both accept the same value; give them "
                            "different types or a required property with different constants, or use anyOf",
                        )
        if len(value) == 1:
            return self._visit(value[0], f"{path}/{keyword}/0")
        done = [self._optional(one, f"{path}/{keyword}/{index}", "the alternative") for index, one in enumerate(value)]
        rules = [rule for rule in done if rule is not None]
        if not rules:
            self._fail(path, f"none of the alternatives of {keyword} can be done: " + self.narrowings.since(-1)[0][1])
        return " | ".join(rules)

    def _literals(self, values: list[Any], schema: dict[str, Any], path: str) -> str:
        types = self._types(schema, path) if "type" in schema else None
        fitting = [value for value in values if types is None or any(is_a(value, name) for name in types)]
        if not fitting:
            self._fail(path, "none of the values has the declared type")
        return " | ".join(dict.fromkeys(quoted(_json(value)) for value in fitting))

    def _reference(self, reference: Any, path: str) -> str:
        target = self._call(path, self._resolve, reference)
        if reference not in self._references:
            # Named first: the schema may come back to this place.
            self._references[reference] = name = f"ref{len(self._references)}"
            self._rules[name] = self._visit(target, reference)
        return self._references[reference]

    def _resolve(self, reference: Any) -> Schema:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise ValueError(f"$ref {reference!r} does not begin with #/: only the schema itself is looked at")
        target = self._root
        for part in reference.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(key)] if isinstance(target, list) else target[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ValueError(f"$ref {reference!r} leads nowhere") from None
        return target

    # Types

    def _object(self, schema: dict[str, Any], path: str) -> str:
        properties = self._call(path, mapping, schema, "properties")
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            self._wrong(path, "required must be a list of names")
        additional = schema.get("additionalProperties", True)
        members = dict(properties)
        for name in required:
            if name not in members and additional is False:
                self._fail(path, f"property {name!r} is required, and not allowed")
            members.setdefault(name, additional)
        if not members:
            return self._map(schema, path)
        for keyword in ("patternProperties", "propertyNames"):
            if keyword in schema:
                self._fail(path, f"{keyword!r} beside properties with names of their own cannot be done")
        least, most = self._call(path, counts, schema, "minProperties", "maxProperties")
        if least > len(set(required)) or (most is not None and most < len(members)):
            self._fail(path, "minProperties and maxProperties cannot be done beside declared properties")
        return self._members(members, set(required), properties, path)

    def _members(self, members: dict[str, Schema], required: set[str], properties: dict[str, Any], path: str) -> str:
        """An object's members in order: what may come first, and after each what may come next."""
        pairs = []
        for name, schema in members.items():
            where = f"{path}/properties/{name}" if name in properties else f"{path}/additionalProperties"
            optional = name not in required
            if optional and schema is False:
                continue
            value = self._optional(schema, where, "the property") if optional else self._visit(schema, where)
            if value is not None:
                pairs.append((self._rule(f'{quoted(_json(name))} ":" ws {value}'), optional))
        # A bare empty alternative would go on in the next line.
        first, following = '""', "ws"
        for pair, optional in reversed(pairs):
            first = self._rule(f"{pair} {following}" + (f" | {first}" if optional else ""))
            following = self._rule(f'"," ws {pair} {following}' + (f" | {following}" if optional else ""))
        return f'"{{" ws {first} "}}"'

    def _map(self, schema: dict[str, Any], path: str) -> str:
        """An object whose keys are not known."""
        patterns = self._call(path, mapping, schema, "patternProperties")
        value: Schema = schema.get("additionalProperties", True)
        key = "string"
        if patterns:
            if len(patterns) > 1 or "propertyNames" in schema:
                self._fail(path, "more than one of patternProperties, or propertyNames beside one, cannot be done")
            # A key may match the pattern whatever it is, so only such keys are written.
            ((pattern, value),) = patterns.items()
            key = self._quoted_rule(self._call(path, pattern_grammar, pattern, "char"))
        elif "propertyNames" in schema:
            names = schema["propertyNames"]
            if isinstance(names, dict) and "type" not in names and not any(word in names for word in WHOLE):
                names = {**names, "type": "string"}
            if not disjoint(names, {"type": ["object", "array", "number", "boolean", "null"]}, self._resolve):
                self._fail(path, "propertyNames must be a schema of strings")
            key = self._visit(names, f"{path}/propertyNames")
        least, most = self._call(path, counts, schema, "minProperties", "maxProperties")
        if value is False:
            most = 0
        if most == 0 and least == 0:
            return '"{" ws "}"'
        # The same key may come twice, and then counts once.
        if least > 1:
            self._fail(path, "minProperties of more than 1 cannot be done")
        pair = self._rule(f'{key} ":" ws {self._visit(value, path + "/additionalProperties")}')
        return self._list(("{", "}"), [], pair, least, most, path)

    def _array(self, schema: dict[str, Any], path: str) -> str:
        items = schema.get("items", True)
        prefix = schema.get("prefixItems", [])
        if isinstance(items, list):
            prefix, items = items, schema.get("additionalItems", True)
        if not isinstance(prefix, list):
            self._wrong(path, "prefixItems must be a list of schemas")
        least, most = self._call(path, counts, schema, "minItems", "maxItems")
        if items is False:
            most = len(prefix) if most is None else min(most, len(prefix))
        if most is not None and least > most:
            self._fail(path, "no array is long enough and short enough")
        if schema.get("uniqueItems", False) is not False and (most is None or most > 1):
            self._fail(path, "uniqueItems cannot be done")
        kept = prefix if most is None else prefix[:most]
        first = [self._visit(item, f"{path}/prefixItems/{index}") for index, item in enumerate(kept)]
        needs_rest = most is None or most > len(first)
        rest = self._visit(items, f"{path}/items") if needs_rest else ""
        return self._list(("[", "]"), first, rest, least, most, path)

    def _list(
        self, brackets: tuple[str, str], first: list[str], rest: str, least: int, most: int | None, path: str
    ) -> str:
        """Items between brackets: each of ``first``, then ``rest`` over and over, from ``least`` to ``most`` in all."""
        opening, closing = brackets
        if rest and not first:
            first = [rest]
        more = ""
        if most is None or most > len(first):
            count = self._call(path, bounded, max(0, least - len(first)), None if most is None else most - len(first))
            more = f'("," ws {rest}){count}'
        for index in reversed(range(len(first))):
            item = f'"," ws {first[index]}' if index else first[index]
            more = (
                f"{item} {more}".rstrip()
                if index < least
                else f"({item} {more} ws)?"
                if not index
                else f"({item} {more})?"
            )
            more = self._rule(more)
        if not more:
            return f'"{opening}" ws "{closing}"'
        return f'"{opening}" ws {more} "{closing}"' if least == 0 else f'"{opening}" ws {more} ws "{closing}"'

    def _string(self, schema: dict[str, Any], path: str) -> str:
        least, most = self._call(path, counts, schema, "minLength", "maxLength")
        limited = least > 0 or most is not None
        name = schema.get("format")
        if name in UNSUPPORTED_FORMATS:
            self._fail(path, f"the format {name!r} cannot be done; what can: {', '.join(FORMATS)}")
        kinds = [
            word
            for word, found in (("a length", limited), ("pattern", "pattern" in schema), ("format", name in FORMATS))
            if found
        ]
        if len(kinds) > 1:
            self._fail(path, f"{kinds[0]} and {kinds[1]} side by side cannot be done")
        if "pattern" in schema:
            if not isinstance(schema["pattern"], str):
                self._wrong(path, "pattern must be a string")
            return self._quoted_rule(self._call(path, pattern_grammar, schema["pattern"], "char"))
        if name in FORMATS:
            return self._quoted_rule(FORMATS[name])
        if not limited:
            return "string"
        if most is not None and least > most:
            self._fail(path, "no string is long enough and short enough")
        return self._quoted_rule(f"char{self._call(path, bounded, least, most)}")

    def _quoted_rule(self, body: str) -> str:
        return self._rule(f'"\\"" {self._rule(body)} "\\""')

    def _number(self, schema: dict[str, Any], path: str, name: str) -> str:
        low = self._call(path, bound, schema, "minimum", "exclusiveMinimum", max)
        high = self._call(path, bound, schema, "maximum", "exclusiveMaximum", min)
        step = self._call(path, decimal, schema, "multipleOf") if "multipleOf" in schema else None
        if step is not None and step <= 0:
            self._fail(path, "multipleOf must be more than 0")
        if step is not None and not (name == "integer" and step == 1):
            return self._multiples(step, low, high, name, path)
        if low is None and high is None:
            return name
        body = number_range(low, high) if name == "number" else integer_range(whole(low, 1), whole(high, -1))
        if body is None:
            self._fail(path, "no number is large enough and small enough")
        return self._rule(body)

    def _multiples(self, step: Decimal, low: Bound | None, high: Bound | None, name: str, path: str) -> str:
        if step % 1 != 0:
            self._fail(path, "multipleOf can only be done for integers")
        if low is None or high is None or (high.value - low.value) / step > _MAX_MULTIPLES:
            self._fail(path, f"multipleOf needs bounds with at most {_MAX_MULTIPLES} multiples between them")
        first, last = whole(low, 1), whole(high, -1)
        assert first is not None
        assert last is not None
        size = int(step)
        numbers = range(-(-first // size) * size, last + 1, size)
        if not numbers:
            self._fail(path, "no multiple is large enough and small enough")
        return " | ".join(f'"{number}"' for number in numbers)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate cannot be written but as an escape.
    return text if text.isascii() or all(not "\ud800" <= c <= "\udfff" for c in text) else json.dumps(value)
