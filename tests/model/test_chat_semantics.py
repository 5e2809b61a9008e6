"""What templates compute is what jinja2 computes: operations in which the engine by itself differs.

Whole templates are compared in ``test_chat_templates``.
"""

# ruff: noqa: E501 - a template is a line
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt4all import ChatTemplateError
from gpt4all._native.backend import NativeModel, load_backend
from tests.support.chat.reference import Message, assistant, render, system, user
from tests.support.load_options import load_options

pytestmark = pytest.mark.model

MESSAGES: list[Message] = [user("U1"), assistant("A\u3000ü"), user(" é\u2003x y\t")]
TOOLS: list[dict[str, Any]] = [
    {
        "name": "f",
        "n": None,
        "ok": True,
        "no": False,
        "x": 1.5,
        "y": 1e22,
        "z": 0.00001,
        "big": 123456789.125,
        "list": [],
    }
]
SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"

TEMPLATES = {
    "attribute, then test": '{% for x in messages | selectattr("tool_calls","undefined") %}{{ x.content }}{% endfor %}',
    "rejected by attribute and test": '{{ messages | rejectattr("tool_calls", "defined") | list | length }}',
    "attribute alone": '{{ messages | selectattr("content") | map(attribute="role") | join(",") }}',
    "attribute, test, argument": '{{ messages | selectattr("role", "in", ["user"]) | map(attribute="role") | list }}',
    "attribute further in": '{{ [{"a": {"b": 1}}, {"a": {"b": 2}}] | selectattr("a.b", ">", 1) | list }}',
    "select by a test": "{{ [1, 2, 3, 4] | select('odd') | list }}{{ [1, 2] | reject('==', 1) | list }}",
    "map by a filter": "{{ [' a', 'B '] | map('trim') | map('upper') | list }}{{ ['ab'] | map('replace', 'a', 'c') | list }}",
    "text as a list of parts": '{% for m in messages %}{% for c in m.content %}{% if c["type"]=="image" %}I{% endif %}'
    "{% endfor %}{% endfor %}{% for m in messages %}[{{ m.role }}:{{ m.content|trim }}]{% endfor %}",
    "loop over text": "{% for c in messages[2].content %}<{{ c }}>{% endfor %}",
    "membership": "{{ ['a'] in ('x','y') }}{{ ['a'] in [['a']] }}{{ (1, 2) in [(1, 2)] }}{{ 1 not in [[1]] }}{{ none in [none] }}",
    "membership of keys": "{{ 'a' in {'a': 1} }}{{ (1, 'b') in {(1, 'b'): 1} }}{{ 1 in {true: 1} }}{{ 'x' not in {} }}",
    "equality": "{{ [[1], {'a': [2]}] == [[1], {'a': [2]}] }}{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}{{ [1] == (1,) }}"
    "{{ '1' is eq(1) }}{{ [1] is eq([1]) }}{{ [1] is ne([2]) }}",
    "order": "{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ true < 2 }}{{ 1 is le(1) }}{{ 'ä' > 'z' }}{{ 1.5 >= 2 }}",
    "spaces": "".join("[{{ x | trim }}][{{ x.lstrip() }}][{{ x.rstrip() }}][{{ x.split() }}][{{ x.isspace() }}]"),
    "trim by characters": "{{ '\u3000xüx'.strip('\u3000ü') }}|{{ 'xyax'.strip('xy') }}|{{ 'ab' | trim('a') }}",
    "split": "{{ ' a  b c '.split() }}{{ ' a  b c '.split(none, 1) }}{{ ' a  b c '.rsplit(none, 1) }}{{ 'a,b,c'.split(',', 1) }}"
    "{{ 'a,b,c'.rsplit(',', 1) }}{{ ''.split() }}{{ ''.split(',') }}{{ ' '.split(none, 0) }}{{ ',a,'.split(',') }}",
    "str()": "{{ tools }}|{{ tools | string }}|{{ tools[0] ~ '' }}|{{ none }}|{{ true }}|{{ 1.0 }}|{{ 1e3 }}|{{ 1.5e300 * 10 }}",
    "floats": "{{ 0.1 + 0.2 }}|{{ 1e16 }}|{{ 1E-7 }}|{{ 1.5e+3 }}|{{ 123456789012345680.0 }}|{{ 0.0001 }}|{{ 0.00001 }}"
    "|{{ 5 / 2 }}|{{ 4 / 2 }}|{{ -0.0 }}",
    "repr of text": "{{ ['it\\'s', 'say \"x\"', 'a\\\\b', '\n\t\r\x07', 'ü☃', '\u3000\xa0\u200b', 'both \\' \"'] }}",
    "None is printed": "{{ none ~ 'x' }}{{ [none, undefined_name] }}{{ undefined_name ~ 'x' }}",
    "lists": "{% set a = [1] %}{{ a + [2] }}{{ (1,) + () }}{{ () }}",
    "JSON": "{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ {'b': 1, 'a': none, 2: true} | tojson }}",
    "JSON, sorted": "{{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }}{{ [1.5, 1e22] | tojson(separators=(',', ':')) }}",
    "characters, not bytes": "{{ 'aüx'[1] }}{{ 'aüx'[-1] }}{{ 'aüx'[1:] }}{{ 'aüx'[::-1] }}{{ 'aüx' | length }}{{ 'üx' | first }}"
    "{{ 'xü' | last }}{{ 'xü' | list }}{{ 'aü' | reverse }}{{ 'xüx'.find('x') }}{{ 'üx'.find('x') }}",
    "slices": "{{ 'abc'[5:9223372036854775807:9223372036854775807] }}{{ [1, 2, 3][-2:] }}{{ [1, 2, 3][::-2] }}{{ (1, 2)[:1] }}"
    "{{ 'abc'[-100:2] }}{{ [1, 2][:-5] }}",
    "replace": "{{ 'aüa'.replace('a', 'b', 1) }}{{ 'üa'.replace('', '-') }}{{ 'aaa'.replace('aa', 'b') }}{{ ''.replace('', 'x') }}",
    "join": "{{ [1, 'a', none, 2.5, [1], true] | join('-') }}{{ ['a'] | join }}{{ [{'a': 1}, {'a': 2}] | join(',', attribute='a') }}",
    "sort": "{{ ['b', 'A', 'a', 'B'] | sort }}{{ [3, 1, 2.5] | sort(reverse=true) }}{{ [{'a': 2}, {'a': 1}] | sort(attribute='a') }}"
    "{{ ['b', 'A'] | sort(case_sensitive=true) }}{{ [2, 1] | min }}{{ ['a', 'B'] | max }}",
    "dictsort": "{{ {'b': 1, 'A': 2} | dictsort }}{% for k, v in {'b': 1, 'a': 2} | dictsort(by='value') %}{{ k }}{{ v }}{% endfor %}",
    "arithmetic": "{{ -1 % 3 }}{{ 5 % -3 }}{{ 9007199254740993 + 2 }}{{ 2 * 3.0 }}{{ -7 % 7 }}{{ 9007199254740993 * 3 }}",
    "the ends of integers": "{{ 9223372036854775807 }}{{ -9223372036854775807 }}{{ 9223372036854775807 == 9223372036854775807 }}{{ -5 | abs }}{{ 2.9 | int }}",
    "titles": "{{ 'two words-and (more)' | title }}{{ 'aBC' | capitalize }}{{ ('a' ~ messages[1].content) | capitalize }}",
    "case": "{{ '12' is upper }}{{ 'A1' is upper }}{{ 'a' is lower }}{{ '' is lower }}",
    "continue": "{% for x in [1, 2, 3] %}{% if x > 1 %}{{ x }}{% if x == 2 %}c{% continue %}{% endif %}b{% break %}{% endif %}-{% endfor %}",
    "a loop that only continues": "{% for x in [1] %}{% continue %}{% else %}none{% endfor %}",
    "macro by keyword": "{% macro f(a, b=2, c=3) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ f(1) }}{{ f(1, c=4) }}{{ f(b=5, a=6) }}{{ f() }}",
    "call block": "{% macro f(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) f('a') %}{{ y }}b{% endcall %}",
    "set block": "{% set x %}{{ messages[1].content }}!{% endset %}{{ x | length }}{{ x }}",
    "names of tests": "{{ [1, 2] | select('ge', 2) | list }}{{ 5 is divisibleby(-1) }}",
    "line ends": "a\r\nb\rc\r\n",
    "time": "{{ strftime_now('%Y %d %B %-d %b') }}",
}


@pytest.fixture(scope="module")
def model(model_file: Callable[[str], Path]) -> Iterator[NativeModel]:
    model = load_backend("cpu").load_model(model_file("tiny-llama"), load_options(n_ctx=64))
    yield model
    model.close()


def text_of(parts: list[tuple[str, bool]]) -> str:
    return "".join(text for text, _ in parts)


@pytest.mark.parametrize("name", TEMPLATES)
def test_like_jinja2(model: NativeModel, name: str) -> None:
    template = TEMPLATES[name]
    for x in (f"{SPACES}a{SPACES}b{SPACES}", "x\u3000", SPACES, "", "\u200b\ufeff\x00 "):
        wanted = render(template, MESSAGES, tools=TOOLS, x=x)
        got = text_of(model.render_chat(MESSAGES, template, {"tools": TOOLS, "x": x}))
        # Midnight may have passed.
        assert got in (wanted, render(template, MESSAGES, tools=TOOLS, x=x))
        if "x" not in template:
            break


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ 5 is divisibleby 0 }}", "modulo by zero"),
        ("{{ [5] | select('divisibleby', 0) | list }}", "modulo by zero"),
        ("{{ 1 % 0 }}", "division by zero"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 9000000000000000000 * 9 }}", "out of range"),
        ("{{ [" + "1, '10', 2.5, 'x', none, true, " * 10 + "0] | sort }}", "no order"),
        ("{{ 1 < 'a' }}", "no order"),
        ("{{ [1] | select('nothing') | list }}", "unknown test 'nothing'"),
        ("{{ 1 in 'a' }}", "'in' test expects"),
        ("{% for i in range(1000000000) %}x{% endfor %}", "Range too big"),
        ("{% set r = range %}{% for i in r(10, -99999999999, -1) %}x{% endfor %}", "Range too big"),
        ("{% call range(10000000000) %}{% endcall %}", "Range too big"),
        ("{{ strftime_now('%Q') }}", "unknown conversion in '%Q'"),
        ("{{ strftime_now('%') }}", "unknown conversion in '%'"),
        ("{{ strftime_now('%Ey %-') }}", "unknown conversion"),
    ],
)
def test_what_fails(model: NativeModel, template: str, message: str) -> None:
    with pytest.raises(ChatTemplateError, match=f"the chat template failed: .*{message}"):
        model.render_chat([user("Hi")], template)


def test_text_that_is_looped_over_stays_text(model: NativeModel) -> None:
    """Llama 3.2 Vision looks for images so; only a loop that prints the parts' text wants parts."""
    messages = [system("S1"), user("U1")]
    template = TEMPLATES["text as a list of parts"]
    assert text_of(model.render_chat(messages, template)) == render(template, messages) == "[system:S1][user:U1]"
    parts = "{% for m in messages %}{% for c in m.content %}{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    assert text_of(model.render_chat([user("U1")], parts)) == "U1"


def test_append_gives_nothing_to_print(model: NativeModel) -> None:
    """The sandbox of jinja2 forbids it, its other environments print None."""
    assert text_of(model.render_chat([user("Hi")], "{% set a = [] %}{{ a.append(1) or '' }}{{ a }}")) == "[1]"


def test_sorting_leaves_no_range_where_the_order_makes_no_sense(model: NativeModel) -> None:
    numbers = [float(number * 7919 % 101) for number in range(300)]
    template = "{% set ns = namespace(x=[]) %}{% for n in x %}{% set ns.x = ns.x + [n, (n * 1e308 * 1e308) - (n * 1e308 * 1e308)] %}"
    template += "{% endfor %}{{ ns.x | sort | length }}"
    assert text_of(model.render_chat([user("Hi")], template, {"x": numbers})) == "600"


def test_a_range_is_as_long_as_in_the_sandbox_of_jinja2(model: NativeModel) -> None:
    assert text_of(model.render_chat([user("Hi")], "{{ range(100000) | length }}")) == "100000"
    wide = "{{ range(-9000000000000000000, 9000000000000000000, 9000000000000000000) | list }}"
    assert text_of(model.render_chat([user("Hi")], wide)) == "[-9000000000000000000, 0]"
    with pytest.raises(OverflowError, match="Range too big"):
        render("{{ range(100001) | length }}", [user("Hi")])
