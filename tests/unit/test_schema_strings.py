"""Strings under a JSON Schema: what people write can be said, and nothing that a validator refuses."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import json
import random
import re
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema
import pydantic
import pytest

from gpt4all.grammars.formats import FORMATS, SHORT_URI, format_language
from gpt4all.grammars.json_schema import schema_grammar
from gpt4all.grammars.regular import lengths
from tests.support.gbnf import Texts

DRAWS = 150

VALID = {
    "date": ["2024-02-29", "2000-02-29", "2023-02-28", "0001-01-01", "9999-12-31", "2026-11-30", "1996-02-29"],
    "time": ["23:59:59Z", "08:30:00.123456+05:30", "00:00:00-11:45", "12:00:00.5Z", "07:08:09.123456789Z"],
    "date-time": ["2024-02-29T23:59:59.999Z", "1985-04-12T23:20:50.52Z", "1990-12-31T15:59:59-08:00"],
    "duration": [
        "P4W",
        "P3M",
        "P1Y2M3DT4H5M6S",
        "PT36H",
        "PT0S",
        "P0D",
        "P1DT12H",
        "P2Y",
        "P1Y6M",
        "PT5M",
        "PT1M30S",
        "P6M15D",
        "P100W",
        "PT86400S",
    ],
    "uuid": ["123E4567-E89B-12D3-A456-426614174000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
    "uuid4": ["F47AC10B-58CC-4372-A567-0E02B2C3D479", "f47ac10b-58cc-4372-8567-0e02b2c3d479"],
    "uuid7": ["01890a5d-ac96-774b-bcce-b302099a8057"],
    "ipv4": ["192.168.0.1", "255.255.255.255", "0.0.0.0", "8.8.4.4"],
    "ipv6": [
        "::",
        "::1",
        "2001:db8::1",
        "fe80::1ff:fe23:4567:890a",
        "::ffff:192.0.2.128",
        "1:2:3:4:5:6:7::",
        "2001:0DB8:85A3:0000:0000:8A2E:0370:7334",
        "64:ff9b::192.0.2.33",
        "1::8",
        "1:2:3:4:5:6:1.2.3.4",
    ],
    "ipvanyaddress": ["10.0.0.1", "::1"],
    "ipv4interface": ["10.0.0.1/24", "10.0.0.1"],
    "ipv6interface": ["2001:db8::1/64", "::1"],
    "ipvanyinterface": ["10.0.0.1/32", "::1/128"],
    "hostname": [
        "localhost",
        "example.com",
        "my-company.de",
        "WWW.Example.COM",
        "3com.com",
        "node-1",
        "a.b.c.d.e.f.g",
        "ec2-203-0-113-25.compute-1.amazonaws.com",
        "a" * 63 + ".org",
        "x",
        "123",
    ],
    "idn-hostname": [
        "münchen.de",
        "пример.рф",
        "例え.jp",
        "straße.example",
        "서울.kr",
        "localhost",
        "אתר.קום",
        "موقع.com",
    ],
    "email": [
        "Anna.Smith@my-company.de",
        "john+spam@gmail.com",
        "o'brien@example.co.uk",
        "x_y-z@sub.domain.example.org",
        "A@B.io",
        "first.middle.last@company.technology",
        "123456@qq.com",
        "info@localhosts.test.com",
    ],
    "idn-email": ["jörg.müller@müller.de", "用户@例子.公司", "anna@example.com", "иван@пример.рф"],
    "uri": [
        "https://Example.com/Path/To_File.html?query=1&x=%20y#Fragment",
        "http://localhost:8080",
        "https://user:pa%20ss@my-host.example:8443/a/b;c=1?d=e/f?g#h/i?j",
        "http://[2001:db8::1]:80/",
        "http://192.168.0.1/admin",
        "ftp://ftp.example.com/pub",
        "mailto:Anna.Smith@example.com",
        "urn:isbn:0451450523",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "tel:+1-816-555-1212",
        "file:///etc/passwd",
        "postgres://user:secret@db.internal:5432/app?sslmode=require",
        "sqlite:///data.db",
        "s3://bucket_name/key",
        "https://en.wikipedia.org/wiki/Foo_(bar)",
        "https://example.com?x=1",
        "https://example.com#top",
        "https://r3---sn-abc.googlevideo.com/videoplayback?expire=1",
        "data:text/plain;base64,SGVsbG8=",
        "wss://echo.example.com/chat",
        "git+ssh://git@github.com/a/b.git",
        "tag:example.com,2024:x",
        "https://x.co/%E2%82%AC",
        "https://maps.example.com/@52.52,13.40,15z",
    ],
    "http-uri": [
        "https://Example.com/Path?query=1#Fragment",
        "http://localhost:8080",
        "http://[::1]:80/",
        "http://a.b/",
    ],
    "uri-reference": ["/a/b?c#d", "../x/y", "#frag", "?q=1", "", "//cdn.example.com/x.js", "a.html", "https://x.org/"],
    "uri-template": ["/users/{id}", "https://api.example.com/{+path}{?q,page*,x:3}", "{/a,b}{#c}", "plain"],
    "iri": ["https://example.com/straße?q=日本", "http://例え.jp/ü#ö"],
    "iri-reference": ["/ä/ö", "#ü", "https://example.com/é"],
    "json-pointer": ["", "/", "/foo/0", "/a~1b/m~0n", "/ ", "/é"],
    "relative-json-pointer": ["0", "1/foo", "0#", "2/0/a~1b"],
    "regex": [
        "^[A-Z]{2}-\\d{3,4}$",
        "(foo|bar)*",
        "^(?!.*--)[a-z0-9-]+$",
        "[^@\\s]+@[^@\\s]+\\.[a-z]{2,}",
        "\\bword\\b",
        "^(\\d{1,3}\\.){3}\\d{1,3}$",
        "^\\+?[1-9]\\d{1,14}$",
        "[\\w.-]+",
        "a.*?b",
        "^#([A-Fa-f0-9]{6}|[A-Fa-f0-9]{3})$",
        "",
    ],
    "base64": ["", "SGVsbG8=", "YQ==", "Zm9vYmFy"],
    "base64url": ["SGVs-_8="],
}
INVALID = {
    "date": ["2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "2024-13-01", "0000-01-01", "2024-00-10"],
    "time": ["24:00:00Z", "23:59:60Z", "12:00:00", "12:60:00Z", "12:00:00+24:00"],
    "duration": ["P", "PT", "P1W2D", "P1YT", "PT1H30S", "P1D2H", "P1S", "P1.5D"],
    "uuid4": ["F47AC10B-58CC-1372-A567-0E02B2C3D479", "F47AC10B-58CC-4372-7567-0E02B2C3D479"],
    "ipv4": ["256.1.1.1", "01.1.1.1", "1.1.1"],
    "ipv6": ["1::2::3", "1:2:3:4:5:6:7:8::", "12345::", "fe80::1%eth0", "1:2:3:4:5:6:7", ":::"],
    "hostname": ["-a.com", "a-.com", "a..b", "a" * 64, "xn--x.com", "", "a_b.com"],
    "email": ["a.@b.de", "a@b", "@b.de", "a@b..de", "a@x.test", "a@x.LocalHost", "a@-b.de", "a b@c.de", "a@b.de."],
    "uri": ["/path", "https:", "https://", "http://a b/", "http://x:65536/", "https://a/%zz", "http://xn--a.com/"],
    "http-uri": ["ftp://a.b/", "mailto:a@b.de", "http:", "/a"],
    "uri-reference": ["//a:b/c", "//a@b@c.d/", "a:b c", "1a:b", "http://"],
    "json-pointer": ["a", "/~2", "/~"],
    "relative-json-pointer": ["01", "/a", "-1"],
    "regex": ["[z-a]", "(", "a**", "{3,1}", "a{3,1}", "[", "*"],
}

#: What pydantic makes of each, beside what jsonschema does.
TYPES: dict[str, Any] = {
    "date": datetime.date,
    "time": datetime.time,
    "date-time": datetime.datetime,
    "duration": datetime.timedelta,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "ipvanyaddress": pydantic.IPvAnyAddress,
    "ipv4interface": ipaddress.IPv4Interface,
    "ipv6interface": ipaddress.IPv6Interface,
    "ipvanyinterface": pydantic.IPvAnyInterface,
    "uuid": uuid.UUID,
    **{f"uuid{version}": getattr(pydantic, f"UUID{version}") for version in (1, 3, 4, 5, 6, 7, 8)},
    "email": pydantic.EmailStr,
    "idn-email": pydantic.EmailStr,
    "uri": pydantic.AnyUrl,
    "http-uri": pydantic.HttpUrl,
    "regex": re.Pattern,
    "base64": pydantic.Base64Bytes,
    "base64url": pydantic.Base64UrlBytes,
}


@cache
def texts_of(**schema: Any) -> Texts:
    return Texts(schema_grammar({"type": "string", **schema}))


def written(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


@cache
def judges(name: str) -> list[Callable[[str], object]]:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    found: list[Callable[[str], object]] = [lambda value: checker.check(value, name)]
    if name in TYPES:
        found.append(pydantic.TypeAdapter(TYPES[name]).validate_python)
    return found


def refused(name: str, value: str) -> str | None:
    for judge in judges(name):
        try:
            judge(value)
        except Exception as error:
            return f"{value!r}: {error}"
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_no_validator_refuses_what_a_format_gives(name: str) -> None:
    # Those of IRIs are judged slowly.
    draws = DRAWS // 10 if name.startswith("iri") else DRAWS
    values = [json.loads(texts_of(format=name).draw(seed)) for seed in range(draws)]
    assert [why for value in values if (why := refused(name, value))] == []


@pytest.mark.parametrize("name", VALID)
def test_what_people_write_can_be_said(name: str) -> None:
    assert [why for value in VALID[name] if (why := refused(name, value))] == []
    texts = texts_of(format=name)
    assert [value for value in VALID[name] if not texts.has(written(value))] == []


@pytest.mark.parametrize("name", INVALID)
def test_what_no_format_allows_cannot_be_said(name: str) -> None:
    texts = texts_of(format=name)
    assert [value for value in INVALID[name] if texts.has(written(value))] == []


LENGTHS: list[tuple[dict[str, Any], list[str]]] = [
    ({"format": "uri", "minLength": 1, "maxLength": 2083}, VALID["uri"]),
    ({"format": "uri", "maxLength": 255}, VALID["uri"]),
    (
        {"format": "uri", "maxLength": 100},
        ["https://my-host.example:8443/a/b;c=1?d=e/f?g#h/i?j", "urn:isbn:0451450523"],
    ),
    ({"format": "email", "maxLength": 254}, VALID["email"]),
    ({"format": "email", "maxLength": 320}, VALID["email"]),
    ({"format": "email", "minLength": 5, "maxLength": 100}, VALID["email"]),
    ({"format": "email", "maxLength": 24}, ["Anna.Smith@my-company.de"]),
    ({"format": "hostname", "maxLength": 63}, ["localhost", "a-quite-long-name-for-a-host-by-itself.example.com"]),
    ({"format": "uuid", "minLength": 36, "maxLength": 36}, VALID["uuid"]),
    ({"format": "date", "minLength": 10}, VALID["date"]),
    ({"format": "date-time", "maxLength": 20}, ["2024-02-29T23:59:59Z"]),
    ({"format": "password", "minLength": 8}, ["correct horse", "12345678"]),
    ({"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "minLength": 3, "maxLength": 50}, ["a-b", "my-slug-2024", "a" * 50]),
    ({"pattern": "^\\S", "maxLength": 10}, ["x", "é      ", "0123456789"]),
    ({"pattern": "[0-9]", "minLength": 8}, ["passw0rd", "12345678", "a" * 30 + "7"]),
    (
        {"pattern": "^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$", "minLength": 8, "maxLength": 13},
        ["555-1212", "(888)555-1212"],
    ),
    ({"pattern": "^(?!.*--)(?=.{3,20}$)[a-z][a-z0-9-]*[a-z0-9]$"}, ["a-b-c", "abc"]),
    ({"pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"}, ["0", "-12.50", ".5", "+3."]),
    ({"pattern": "^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d).{8,}$", "maxLength": 30}, ["Passw0rd", "aB3 ü€.-xyz"]),
    ({"pattern": "^\\S+$"}, ["größe", "日本", "a_b"]),
    ({"pattern": "^[^@\\s]+@[^\\s]*\\D$"}, ["jörg@x.de", "я@x.я"]),
    ({"pattern": "@example\\.com$", "format": "email"}, ["anna.smith@example.com"]),
    ({"pattern": "^https://", "format": "uri", "minLength": 1}, ["https://example.com/a?b#c"]),
    ({"pattern": "^20", "format": "date"}, ["2024-02-29", "2023-12-31"]),
    ({"pattern": "^[^\\n]*$", "format": "json-pointer", "maxLength": 8}, ["/a/~0~1"]),
]


@pytest.mark.parametrize(("schema", "wanted"), LENGTHS, ids=lambda value: json.dumps(value)[:60])
@pytest.mark.filterwarnings("ignore:json_schema")
def test_length_pattern_and_format_hold_together(schema: dict[str, Any], wanted: list[str]) -> None:
    texts = texts_of(**schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for seed in range(DRAWS):
        validator.validate(json.loads(texts.draw(seed)))
    assert [value for value in wanted if not validator.is_valid(value)] == []
    assert [value for value in wanted if not texts.has(written(value))] == []


@pytest.mark.parametrize("name", ["email", "hostname", "iri", "uri", "uri-reference"])
@pytest.mark.parametrize("most", [SHORT_URI + 1, 150, 254, 2083])
def test_a_format_made_for_a_length_has_none_that_is_longer(name: str, most: int) -> None:
    shortest, longest = lengths(format_language(name, most))
    assert shortest <= 5
    assert longest is not None
    assert most * 0.95 < longest <= most or 250 < longest < 256


def test_an_upper_bound_that_is_too_much_to_count_is_lowered_and_said() -> None:
    with pytest.warns(UserWarning, match="#: strings of more than 2000 characters are left out"):
        texts = Texts(schema_grammar({"type": "string", "pattern": "^a+(b|c)+$", "maxLength": 8000}))
    assert texts.has(f'"{"a" * 1999}b"')
    assert not texts.has(f'"{"a" * 2000}b"')


@pytest.mark.parametrize(
    ("pattern", "values", "others"),
    [
        (r"^\012$", ["\n"], ["\x00" + "12", "12"]),
        (r"^\07$", ["\x07"], ["\x007"]),
        (r"^\08$", ["\x008"], []),
        (r"^\101$", ["A"], []),
        (r"^[\07\101]$", ["\x07", "A"], ["0", "7"]),
        (r"^\0$", ["\x00"], ["0"]),
        (r"^\S$", ["ß", "日"], ["\u00a0", "\u3000", "\ufeff", " ", "\x1c"]),
        (r"^[^\s]$", ["ß", "日"], ["\u00a0", "\u3000", " "]),
        (r"^\D$", ["ß", "日", "x", "-"], ["5", "٣"]),
        (r"^[^\d]$", ["ß", "日", "x", "-"], ["5", "٣"]),
        (r"^\W$", ["-", " "], ["a", "é", "_"]),
        (r"^[^\W]$", ["a", "_"], ["-", " "]),
        (r"^(?!a)\w", ["b"], ["a", "ab"]),
        (r"^[\]a]$", ["]", "a"], ["b"]),
        (r"^[^\]a]$", ["b"], ["]", "a"]),
    ],
)
def test_patterns_are_read_as_python_and_javascript_do(pattern: str, values: list[str], others: list[str]) -> None:
    texts = texts_of(pattern=pattern)
    assert [value for value in values if not (re.search(pattern, value) and texts.has(written(value)))] == []
    assert [value for value in others if texts.has(written(value))] == []


@pytest.mark.parametrize("pattern", [r"^[^]a]$", r"[]a]", r"(a)\1", r"\12", r"\8", r"\400", r"[\8]", r"[\400]"])
def test_patterns_that_are_read_in_two_ways_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="json_schema: #: pattern"):
        schema_grammar({"type": "string", "pattern": pattern})


@pytest.mark.parametrize(
    ("schema", "values", "others"),
    [
        ({"enum": ["https://x.org/a?b#c", "urn:x:y"], "format": "uri"}, ["https://x.org/a?b#c", "urn:x:y"], []),
        ({"enum": ["a1", "b", "2c"], "pattern": "[0-9]$"}, ["a1"], ["b", "2c"]),
        ({"format": "date", "not": {"const": "2024-02-29"}}, ["2024-02-28"], ["2024-02-29"]),
        ({"pattern": "^a*$", "not": {"enum": ["", "aa"]}}, ["a", "aaa"], ["", "aa"]),
    ],
)
def test_constants_are_held_to_patterns_and_formats(
    schema: dict[str, Any], values: list[str], others: list[str]
) -> None:
    texts = Texts(schema_grammar({"type": "string", **schema}))
    assert [value for value in values if not texts.has(written(value))] == []
    assert [value for value in others if texts.has(written(value))] == []


@pytest.mark.parametrize(
    ("pattern", "values", "others"),
    [
        ("(^a$|^b$)", ["a", "b"], ["ab", "xa", ""]),
        ("^(a|^b)$", ["a", "b"], ["ab"]),
        ("(^$)|(^[0-9]{2}$)", ["", "12"], ["1", "x12"]),
        ("((^a)|b)c", ["ac", "xbc", "acx"], ["xac", "c"]),
        ("a(b$|c)", ["ab", "xab", "acx"], ["abx", "a"]),
        ("^(?:x|(y$))", ["xz", "y"], ["yz"]),
        ("(^|,)a($|,)", ["a", "b,a", "a,b", "c,a,b"], ["ba", "ab"]),
    ],
)
def test_anchors_inside_groups(pattern: str, values: list[str], others: list[str]) -> None:
    assert [bool(re.search(pattern, value)) for value in values + others] == [True] * len(values) + [False] * len(
        others
    )
    texts = texts_of(pattern=pattern)
    assert [value for value in values if not texts.has(written(value))] == []
    assert [value for value in others if texts.has(written(value))] == []


def random_pattern(chance: random.Random, depth: int = 0) -> str:
    parts = []
    for _ in range(chance.randint(0, 3)):
        kind = chance.random()
        if kind < 0.15:
            parts.append(chance.choice("^$"))
            continue
        inner = (
            f"({random_pattern(chance, depth + 1)})" if kind < 0.4 and depth < 3 else chance.choice(("a", "b", "[ab]"))
        )
        parts.append(inner + chance.choice(("", "", "", "*", "+", "?", "{2}", "{1,2}")))
    return "".join(parts) + (f"|{random_pattern(chance, depth + 1)}" if chance.random() < 0.2 and depth < 3 else "")


@pytest.mark.parametrize("seed", range(150))
def test_random_patterns_find_what_python_finds(seed: int) -> None:
    pattern = random_pattern(random.Random(seed))
    texts = ["".join(letters) for size in range(5) for letters in itertools.product("ab", repeat=size)]
    found = {text for text in texts if re.search(pattern, text)}
    try:
        grammar = texts_of(pattern=pattern)
    except ValueError as error:
        if "with an anchor inside" not in str(error):
            assert not found
        return
    assert {text for text in texts if grammar.has(f'"{text}"')} == found
