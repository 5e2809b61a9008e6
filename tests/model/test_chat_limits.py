"""A template from anywhere neither crashes nor hangs the process, nor takes its memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from testmodels.greedy import greedy

from gpt4all import CancellationError, ChatTemplateError
from gpt4all._native.backend import CancelFlag, NativeModel, load_backend
from tests.support.chat.reference import (
    CONVERSATIONS,
    Message,
    assistant,
    read_template,
    render,
    system,
    template_directory,
    user,
)
from tests.support.load_options import load_options

pytestmark = pytest.mark.model

GROW = "{% set ns = namespace(s=START) %}{% for i in range(100) %}{% set ns.s = STEP %}{% endfor %}{{ ns.s | length }}"
CHAIN = (
    "{% set ns = namespace(a=[], b=[]) %}{% set first = ns.a %}{% for i in range(3000) %}{% set ns.b = [] %}"
    "{% set _ = ns.a.append(ns.b) %}{% set ns.a = ns.b %}{% endfor %}"
)


def grow(start: str, step: str) -> str:
    return GROW.replace("START", start).replace("STEP", step)


def double(name: str, n: int, start: str = "") -> str:
    """A list that holds one value 2**n times."""
    first = f"{{% set {name} = [{start}] %}}" if start else ""
    return first + f"{{% set {name} = {name} + {name} %}}" * n


def repeat(opening: str, middle: str, closing: str = "", n: int = 20_000) -> str:
    return opening * n + middle + closing * n


SHARED = double("a", 17, "'x'") + double("b", 17, "a") + double("c", 17, "'x'") + double("d", 17, "c")
LONG = "{% set s = '" + "a" * 300_000 + "b' %}{% set t = '" + "a" * 300_000 + "c' %}"
NESTED = "{% set ns = namespace(t=('a','b')) %}{% for i in range(N) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}"
COUNT = "{% for i in range(20000) %}"

HOSTILE = {
    "compared tuples that share parts": NESTED.replace("N", "14")
    + COUNT
    + "{% if ns.t == ns.t %}{% endif %}{% endfor %}",
    "compared lists that share parts": SHARED + "{{ b == d }}",
    "looked up by a large key": NESTED.replace("N", "11")
    + "{% set d = {ns.t: 1} %}"
    + COUNT
    + "{{ d[ns.t] }}{% endfor %}",
    "looked up by a long text": LONG + "{% set d = {'k': 2} %}" + COUNT + "{{ d[s] }}{% endfor %}",
    "hashed": LONG + COUNT + "{% set d = {s: 1} %}{% endfor %}",
    "a list in a list": SHARED + "{{ c[1:] + ['y'] in b }}",
    "long text in a list": LONG + double("a", 18, "t") + "{{ s in a }}",
    "selected by comparing": LONG + double("a", 18, "t") + "{{ a | select('eq', s) | list | length }}",
    "selected by searching": "{% set s = '"
    + "a" * 600_000
    + "' %}"
    + double("a", 18, "'" + "a" * 1000 + "b'")
    + "{{ a | select('in', s) | list | length }}",
    "tested": SHARED + "{{ b is eq(d) }}{{ b | select('sameas', a) | list | length }}",
    "ordered": SHARED + COUNT + "{% if b < d %}{% endif %}{% endfor %}",
    "sliced": double("a", 19, "'x'") + "".join(f"{{% set b{i} = a[0:] %}}" for i in range(3000)),
    "sorted": LONG + double("a", 16, "s, t") + "{{ a | sort | length }}",
    "minimum": LONG + double("a", 16, "s, t") + "{{ a | min }}",
    "printed": double("a", 12, "'x'") + double("b", 12, "a") + "{{ b }}",
    "printed as JSON": double("a", 12, "'x'") + double("b", 12, "a") + "{{ b | tojson(indent=1000) }}",
    "searched in the worst way": "{% set s = 'a' * 4000000 %}{{ ('a' * 2000000 ~ 'b') in s }}",
    "replaced at each place": "{% set s = 'a' * 4000000 %}{{ s.replace('a', '') | length }}",
    "split at each place": "{% set s = 'a ' * 2000000 %}{{ s.split() | length }}",
    "stripped of many": "{% set s = 'a' * 4000000 %}" + COUNT + "{% set t = s.strip('b' * 10000 ~ 'a') %}{% endfor %}",
    "characters": "{% set s = 'é' * 2000000 %}{% for i in range(1000) %}{{ s[i] }}{% endfor %}",
    "all characters": "{% set s = 'é' * 2000000 %}{% for c in s %}{% endfor %}",
    "blank text": "{% set s = ' ' * 7000000 %}"
    + COUNT
    + "{% set t = [s | trim, s.split(), s.isspace()] %}{% endfor %}",
    "titles": "{% set s = 'ab ' * 1000000 %}" + COUNT + "{% set t = s | title %}{% endfor %}",
    "mapped": double("a", 18, "'x' * 1000") + "{{ a | map('upper') | list | length }}",
    "joined lists": double("a", 18, "'x' * 1000") + "{{ a | join('" + "y" * 1000 + "') }}",
    "multiplied again and again": "{% set s = 'ab' * 4000000 %}" * 400,
    "callers that hold callers": "{% macro m() %}{% set ns.c = caller %}{% endmacro %}{% set ns = namespace(c=1) %}"
    + COUNT
    + "{% set prev = ns.c %}{% call m() %}{% endcall %}{% endfor %}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "endless macro in between": "{% macro f(x) %}{% set y %}{% if x %}{{ [f([x]) ~ 'a'] | join }}{% endif %}"
    "{% endset %}{{ y }}{% endmacro %}{{ f(1) }}",
    "endless caller": "{% macro f() %}{{ caller() }}{% endmacro %}"
    "{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
    "doubled text": grow("'aaaa'", "ns.s ~ ns.s"),
    "doubled list": grow("[1]", "ns.s + ns.s"),
    "pairs of pairs": grow("['a']", "[ns.s, ns.s]").replace("length", "string"),
    "tuples of tuples": grow("(1, 2)", "(ns.s, ns.s)").replace("length", "string"),
    "dicts of dicts": grow("{}", "dict(x=ns.s.items())"),
    "replaced": grow("'a'", "ns.s.replace('a', 'aaaaaaaaaa')"),
    "joined": grow("'a'", "['a', 'b', 'c', 'd'] | join(ns.s)"),
    "repeated text": "{{ 'abc' * 10000000000 }}",
    "wide indent": "{{ 'a\nb' | indent(10000000000) }}",
    "wide indent in JSON": "{{ {'a': 1} | tojson(indent=1000000000) }}",
    "many pieces": "{% set s = 'a' * 900000 %}{% for i in range(99999) %}{% set x = s.split('a') %}{% endfor %}",
    "much text": "{% for i in range(99999) %}" + "y" * 5000 + "{% endfor %}",
    "long comparisons": "{% set s = 'a' * 900000 %}{% for i in range(99999) %}{% set x = s == s ~ 'b' %}{% endfor %}",
    "long search": "{% set s = 'a' * 900000 %}{% for i in range(99) %}{% set x = s ~ 'b' in s ~ s %}{% endfor %}",
    "many variables": "".join("{% set v" + str(i) + " = 1 %}" for i in range(3000))
    + "{% for i in range(99999) %}{% endfor %}",
    "itself in a list": "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}",
    "itself by a method": "{% set a = [] %}{% set f = a.append %}{% set _ = f(f) %}{{ a | string }}",
    "itself in a namespace": "{% set ns = namespace() %}{% set ns.x = {'k': [ns]} %}{{ ns | tojson }}",
    "long chain, printed": CHAIN + "{{ first }}",
    "deep list": "{% set ns = namespace(s=['a']) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor %}",
    "parentheses": "{{ " + repeat("(", "1", ")") + " }}",
    "lists": "{{ " + repeat("[", "", "]") + " }}",
    "negations": "{{ " + repeat("not ", "1") + " }}",
    "minuses": "{{ " + repeat("- ", "x") + " }}",
    "conditions": "{{ " + repeat("1 if 0 else ", "2") + " }}",
    "sums": "{{ 1" + repeat(" + 1", "") + " }}",
    "members": "{{ a" + repeat(".b", "") + " }}",
    "filters": "{{ a" + repeat("|d", "") + " }}",
    "calls": "{{ a" + repeat("()", "") + " }}",
    "tests": "{{ 1" + repeat(" is defined", "") + " }}",
    "blocks": repeat("{% if 1 %}", "x", "{% endif %}"),
    "branches": "{% if 0 %}" + repeat("{% elif 0 %}", "") + "{% endif %}",
    "assignments": repeat("{% set a %}", "x", "{% endset %}"),
    "length": "x" * (1 << 20) + "{{ 1 }}",
}
FRAGMENTS = [
    *(
        "{%",
        "{{",
        "{#",
        "{% if x",
        "{% if x %}",
        "{% for",
        "{% for x in",
        "{% set x",
        "{% set x %}",
        "{% macro",
        "{% call",
    ),
    *(
        "{{ 'abc",
        "{{ '\\",
        "{{ [1,",
        "{{ x[",
        "{{ x[1:",
        "{{ {'a'",
        "{{ x.",
        "{{ x|",
        "{{ x is",
        "{{ 1 if",
        "{{ f(",
        "{% filter",
    ),
    *(
        "{{ *x }}",
        "{{ f(*x) }}",
        "{{ 99999999999999999999 }}",
        "{{ }} }",
        "{% set 1 = 2 %}",
        "{% macro 1() %}{% endmacro %}",
    ),
    *(
        "{% break %}",
        "{% for 1 in [2] %}{% endfor %}",
        "{% endfor %}",
        "{{ x | 1 }}",
        "{{ 1 is 2 }}",
        "{% call 1() %}{% endcall %}",
    ),
]


@pytest.fixture(scope="module")
def model(model_file: Callable[[str], Path]) -> Iterator[NativeModel]:
    model = load_backend("cpu").load_model(model_file("tiny-llama"), load_options(n_ctx=64))
    yield model
    model.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template(model: NativeModel, name: str) -> None:
    with pytest.raises(ChatTemplateError, match="the chat template is broken: (it|its|a) "):
        model.render_chat([user("Hi")], HOSTILE[name])
    assert model.render_chat([user("Hi")], "{{ messages[0].content }}") == [("Hi", True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) if j < 0 %}{% endfor %}{% endfor %}",
        CHAIN.replace("3000", "99999"),
    ],
)
def test_endless_work(model: NativeModel, template: str) -> None:
    with pytest.raises(ChatTemplateError, match="it takes too many steps"):
        model.render_chat([user("Hi")], template)


#: What runs into one bound and, where that is not counted, only much later into another.
COUNTED = {
    "the items of loops in loops": (
        double("a", 19, "0") + repeat("{% for x in a %}", "x", "{% endfor %}", n=30),
        "values grow too large",
    ),
    "long texts in a printed list": (
        "{% set s = 'a' * 8000000 %}" + double("a", 9, "s") + "{{ a }}",
        "text grows too long",
    ),
    "long texts in a printed dictionary": (
        "{% set s = 'a' * 8000000 %}{{ {1: s, 2: s, 3: s, 4: s} }}",
        "text grows too long",
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_held_while_others_are_made(model: NativeModel, name: str) -> None:
    template, reason = COUNTED[name]
    with pytest.raises(ChatTemplateError, match=reason):
        model.render_chat([user("Hi")], template)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_broken_fragment(model: NativeModel, fragment: str) -> None:
    with pytest.raises(ChatTemplateError):
        model.render_chat([user("Hi")], fragment)


def test_any_prefix_of_a_template(model: NativeModel) -> None:
    """And any that lacks its beginning: most are broken, none does harm."""
    template = read_template("openai-gpt-oss-120b")
    for at in range(0, len(template), 97):
        for part in (template[:at], template[at:]):
            with suppress(ChatTemplateError):
                model.render_chat([user("Hi")], part)


def test_a_chain_that_is_not_printed_is_taken_apart(model: NativeModel) -> None:
    assert model.render_chat([user("Hi")], CHAIN + "{{ messages[0].content }}") == [("Hi", True)]


def test_long_conversations_are_no_offence(model: NativeModel) -> None:
    turns: list[Message] = [system("Be kind.")]
    for number in range(200):
        turns += [user(f"question {number} " * 20), assistant(f"answer {number} " * 20)]
    turns.append(user("last"))
    for path in sorted(template_directory().glob("*.jinja")):
        parts = model.render_chat(turns, path.read_text(encoding="utf-8"))
        assert sum(len(text) for text, _ in parts) > 90_000, path.stem


def test_more_templates_than_are_kept(model: NativeModel) -> None:
    for _ in range(2):
        for number in range(20):
            assert model.render_chat([user("Hi")], f"{number}{{{{ messages[0].content }}}}") == [
                (str(number), False),
                ("Hi", True),
            ]


def test_threads_share_a_model(model: NativeModel) -> None:
    """Rendering and tokenising go on beside each other and beside a generation."""
    names = ["chatml", "alpaca", "openai-gpt-oss-120b", "HuggingFaceTB-SmolLM3-3B"]
    wanted = {name: model.render_chat([user("Hi")], read_template(name)) for name in names}
    tokens = {name: model.tokenize_parts(parts) for name, parts in wanted.items()}
    cancel, running = CancelFlag(), threading.Event()

    def generate() -> None:
        def on_token(token: int, text: bytes) -> bool:
            running.set()
            return True

        greedy(model, tokens["alpaca"][:20], 100_000, n_batch=8, cancel=cancel, on_token=on_token)

    def work(number: int) -> None:
        for step in range(10):
            name = names[(number + step) % len(names)]
            parts = model.render_chat([user("Hi")], read_template(name))
            assert parts == wanted[name]
            assert model.tokenize_parts(parts) == tokens[name]
            with pytest.raises(ChatTemplateError):
                model.render_chat([user("Hi")], "{{ raise_exception('no') }}" + "{#" + "x" * number + "#}")

    with ThreadPoolExecutor(9) as threads:
        generation = threads.submit(generate)
        assert running.wait(60)
        for result in [threads.submit(work, number) for number in range(8)]:
            result.result()
        cancel.set()
        generation.result()


def test_small_stack(model: NativeModel) -> None:
    """Deep templates stop before a thread's stack does."""
    size = threading.stack_size(512 * 1024)
    try:
        failures: list[str] = []

        def work() -> None:
            for name in ("endless macro", "endless macro in between", "endless caller", "sums", "deep list"):
                try:
                    model.render_chat([user("Hi")], HOSTILE[name] + " ")
                except ChatTemplateError as error:
                    failures.append(str(error))
            for messages in CONVERSATIONS.values():
                template = read_template("openai-gpt-oss-120b")
                assert "".join(text for text, _ in model.render_chat(messages, template)) == render(template, messages)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
    assert len(failures) == 5


@pytest.mark.parametrize("template", ["{{ messages }}", "{% for i in range(100) %}{{ i }}{% endfor %}"])
def test_cancelled(model: NativeModel, template: str) -> None:
    """While it is analysed, and again while it is rendered."""
    cancel = CancelFlag()
    cancel.set()
    for _ in range(2):
        with pytest.raises(CancellationError):
            model.render_chat([user("Hi")], template, cancel=cancel)
        assert model.render_chat([user("Hi")], template)


def test_line_ends_are_read_in_one_go(model: NativeModel) -> None:
    """Taking them out one by one moved a megabyte for each."""
    template = "\r\n" * 500_000 + "{{ messages[0].content }}"
    assert model.render_chat([user("Hi")], template) == [("\n" * 500_000, False), ("Hi", True)]


def test_a_long_text_that_is_looped_over_is_no_offence(model: NativeModel) -> None:
    """As Llama 3.2 Vision does with each message; a book fills the longest contexts."""
    template = (
        "{% for m in messages %}{% for c in m.content %}{% if c == '\\n' %}{% endif %}{% endfor %}"
        "{{ m.content }}{% endfor %}"
    )
    book = "Chapter é\n" * 30_000
    assert model.render_chat([user(book)], template) == [(book, True)]
