"""Chat templates render as jinja2 renders them.

Known differences, each on purpose:

- A template without a system role (Gemma's raises) gets the system text in front of the first message, with a line end
  between; jinja2 would raise, or leave the text out.
- ``None`` as content is an empty text, and thinking kept in a message (``reasoning_content``) is left out.
- StepFun's contents are trimmed, and two checks that would end a gpt-oss or Mistral conversation for good are skipped.
- A begin token that tokenising adds is not in the text.
- The engine counts bytes where Python counts characters, trims only ASCII whitespace, and takes an undefined variable
  for an empty one where jinja2 raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest

from gpt4all import ChatTemplateError
from gpt4all._native.backend import NativeModel, load_backend
from tests.support.chat.models import byte_vocabulary, write_chat_model
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

FAMILIES = {
    "ChatML": ["chatml"],
    "Llama 2": ["llama-2"],
    "Llama 3": ["meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct"],
    "Gemma": ["google-gemma-2-2b-it", "google-gemma-4-31B-it"],
    "Mistral": ["mistral-7b", "mistralai-Mistral-Nemo-Instruct-2407", "Mistral-Small-3.2-24B-Instruct-2506"],
    "Phi": ["microsoft-Phi-3.5-mini-instruct", "phi-4-mini"],
    "Command-R": [
        "CohereForAI-c4ai-command-r-plus-tool_use",
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    ],
    "DeepSeek": ["deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-V3.1"],
    "Qwen": ["Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen-QwQ-32B"],
    "Granite": ["ibm-granite-granite-3.3-2B-Instruct", "ibm-granite-granite-4.0"],
    "Zephyr": ["zephyr"],
    "Alpaca": ["alpaca"],
    "Vicuna": ["vicuna"],
    "gpt-oss": ["openai-gpt-oss-120b"],
    "SmolLM": ["HuggingFaceTB-SmolLM3-3B"],
}
NO_SYSTEM_ROLE = {"google-gemma-2-2b-it"}
# Where Python refuses None for tools, rendering falls back on no tools at all.
NEEDS_TOOLS = {
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
}
TEMPLATES = [pytest.param(name, id=name) for names in FAMILIES.values() for name in names]
BOS, EOS = "<|endoftext|>", "<|im_end|>"

Render = Callable[..., list[tuple[str, bool]]]
OpenModel = Callable[[str], NativeModel]


@pytest.fixture(scope="module")
def open_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenModel]:
    """A model file that carries the template of that name."""
    directory = tmp_path_factory.mktemp("models")
    backend = load_backend("cpu")
    opened: dict[str, NativeModel] = {}

    def open_one(name: str) -> NativeModel:
        if name not in opened:
            path = write_chat_model(directory / f"{name}.gguf", byte_vocabulary(read_template(name)))
            opened[name] = backend.load_model(path, load_options(n_ctx=64))
        return opened[name]

    yield open_one
    for model in opened.values():
        model.close()


@pytest.fixture(scope="module")
def plain(open_model: OpenModel) -> NativeModel:
    return open_model("chatml")


def text_of(parts: list[tuple[str, bool]]) -> str:
    return "".join(text for text, _ in parts)


def expected(name: str, messages: list[Message], **variables: Any) -> list[str]:
    """What jinja2 makes of it: before and after, as a template may print the date. Nothing where it refuses."""
    template = read_template(name)
    if name in NO_SYSTEM_ROLE and messages[0]["role"] == "system":
        messages = [user(f"{messages[0]['content']}\n{messages[1]['content']}"), *messages[2:]]
    if name in NEEDS_TOOLS:
        variables["tools"] = jinja2.Undefined()
    try:
        return [render(template, messages, bos=BOS, eos=EOS, **variables)]
    except (jinja2.TemplateError, TypeError):
        return []


def check(model: NativeModel, name: str, messages: list[Message], *, generate: bool = True, **args: Any) -> None:
    wanted = expected(name, messages, add_generation_prompt=generate, **args)
    if not wanted:
        with pytest.raises(ChatTemplateError):
            model.render_chat(messages, args=args, add_generation_prompt=generate)
        return
    got = text_of(model.render_chat(messages, args=args, add_generation_prompt=generate))
    # Midnight may have passed.
    assert got in wanted + expected(name, messages, add_generation_prompt=generate, **args)


@pytest.mark.model
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_family(open_model: OpenModel, name: str, conversation: str) -> None:
    messages = CONVERSATIONS[conversation]
    check(open_model(name), name, messages)
    check(open_model(name), name, messages, generate=False)


@pytest.mark.model
@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("Qwen-Qwen3-0.6B", "enable_thinking"),
        ("Qwen3.5-4B", "enable_thinking"),
        ("HuggingFaceTB-SmolLM3-3B", "enable_thinking"),
        ("deepseek-ai-DeepSeek-V3.1", "thinking"),
        ("ibm-granite-granite-3.3-2B-Instruct", "thinking"),
    ],
)
def test_thinking(open_model: OpenModel, name: str, variable: str, thinking: bool) -> None:
    for messages in CONVERSATIONS.values():
        check(open_model(name), name, messages, **{variable: thinking})
    on, off = (text_of(open_model(name).render_chat([user("Hi")], args={variable: value})) for value in (True, False))
    assert on != off


@pytest.mark.model
def test_effort_of_gpt_oss(open_model: OpenModel) -> None:
    name = "openai-gpt-oss-120b"
    for effort in ("low", "high"):
        check(open_model(name), name, CONVERSATIONS["several turns"], reasoning_effort=effort)
    assert "Reasoning: high" in text_of(open_model(name).render_chat([user("Hi")], args={"reasoning_effort": "high"}))


@pytest.mark.model
@pytest.mark.slow
def test_every_template_of_llama_cpp(plain: NativeModel) -> None:
    trimmed, needs_functions = "StepFun3.5-Flash", "fireworks-ai-llama-3-firefunction-v2"
    paths = sorted(template_directory().glob("*.jinja"))
    assert len(paths) > 50
    for path in paths:
        # Counts on variables that nobody sets; jinja2 raises at the first, the engine takes them as empty.
        if path.stem == needs_functions:
            continue
        for messages in CONVERSATIONS.values():
            if path.stem == trimmed:
                messages = [{**message, "content": message["content"].strip()} for message in messages]
            wanted = expected(path.stem, messages)
            template = path.read_text(encoding="utf-8")
            try:
                got = text_of(plain.render_chat(messages, template))
            except ChatTemplateError:
                assert wanted == [], path.stem
            else:
                assert got in wanted + expected(path.stem, messages), path.stem


@pytest.mark.model
def test_a_template_given_replaces_the_own_one(open_model: OpenModel) -> None:
    model = open_model("alpaca")
    messages = CONVERSATIONS["several turns"]
    assert text_of(model.render_chat(messages)) == render(read_template("alpaca"), messages)
    assert text_of(model.render_chat(messages, read_template("vicuna"))) == render(
        read_template("vicuna"), messages, eos=EOS
    )


@pytest.mark.model
def test_real_model(model_file: Callable[[str], Path]) -> None:
    with_template = load_backend("cpu").load_model(model_file("smollm2"), load_options(n_ctx=64))
    template = with_template.info.chat_template
    assert template is not None
    for messages in CONVERSATIONS.values():
        assert text_of(with_template.render_chat(messages)) == render(template, messages, bos="<|im_start|>", eos=EOS)
    with_template.close()


@pytest.mark.model
class TestWorkArounds:
    def test_system_text_joins_the_first_message_where_there_is_no_such_role(self, plain: NativeModel) -> None:
        refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        ignores = "{% for m in messages %}{% if m.role != 'system' %}[{{ m.content }}]{% endif %}{% endfor %}"
        prints = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
        messages = [system("S"), user("U"), assistant("A")]
        for template in (refuses + prints, ignores):
            assert text_of(plain.render_chat(messages, template)) == "[S\nU][A]"
            assert text_of(plain.render_chat([system(""), user("U")], template)) == "[U]"
            assert text_of(plain.render_chat([system("S")], template)) == ""
        assert text_of(plain.render_chat(messages, prints)) == "[S][U][A]"

    def test_developer_is_system_but_for_gpt_oss(self, plain: NativeModel) -> None:
        template = "{% for m in messages %}{{ m.role }} {% endfor %}"
        messages = [{"role": "developer", "content": "x"}, user("y")]
        assert text_of(plain.render_chat(messages, template + "{{ messages[0].content }}")) == "system user x"
        gpt_oss = template + "{{ messages[0].content }}{# <|channel|> #}"
        assert text_of(plain.render_chat(messages, gpt_oss)) == "developer user x"

    def test_content_in_parts_and_as_text(self, plain: NativeModel) -> None:
        parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
        takes_text = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
        takes_parts = "{% for m in messages %}{% for part in m.content %}[{{ part.text }}]{% endfor %}{% endfor %}"
        takes_parts += "{% set first = messages[0].content[0].text | trim %}"
        assert text_of(plain.render_chat([user(parts)], takes_text)) == "[one\ntwo]"
        assert text_of(plain.render_chat([user("one")], takes_parts)) == "[one]"
        assert text_of(plain.render_chat([user(parts)], takes_parts)) == "[one][two]"

    def test_no_content_is_empty_and_thinking_is_dropped(self, plain: NativeModel) -> None:
        template = "{% for m in messages %}[{{ m.content }}{{ m.reasoning_content }}{{ m.thinking }}]{% endfor %}"
        messages = [user(None), {"role": "assistant"}, assistant("x", reasoning_content="hm", thinking="hm")]
        assert text_of(plain.render_chat(messages, template)) == "[][][x]"

    def test_arguments_of_tool_calls_become_objects_where_the_template_walks_through_them(
        self, plain: NativeModel
    ) -> None:
        call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
        walks = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}"
        walks += "{% for k, v in c.function.arguments | items %}({{ k }}={{ v }}){% endfor %}{% endfor %}{% endfor %}"
        messages = [user("x"), assistant("y", tool_calls=[call])]
        assert text_of(plain.render_chat(messages, walks)) == "xyf(a=1)"

    def test_begin_token_is_left_to_the_tokenizer(self, model_file: Callable[[str], Path]) -> None:
        model = load_backend("cpu").load_model(model_file("tiny-llama"), load_options(n_ctx=64))
        assert model.info.add_bos
        template = "{{ bos_token }}{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
        assert text_of(model.render_chat([user("<s>")], template)) == "<s><s></s>"
        assert text_of(model.render_chat([user("<s>")], "{{ messages[0].content }}")) == "<s>"
        model.close()


@pytest.mark.model
class TestErrors:
    @pytest.mark.parametrize(
        ("template", "message"),
        [
            ("{% for m in messages %}", "broken"),
            ("{{ 'abc }}", "broken"),
            ("{% nonsense %}", "Unknown statement: nonsense"),
            ("{{ messages[0].content | nosuchfilter }}", "nosuchfilter"),
            ("line\n{{ no_such_function() }}", "no_such_function.*line 2"),
            ("{{ raise_exception('only {} turns'.format('two')) }}", "refuses the conversation: only two turns"),
            ("{{ messages[0].content + 1 - [] }}", "failed"),
            ("a\0b", "NUL"),
        ],
    )
    def test_template(self, plain: NativeModel, template: str, message: str) -> None:
        for _ in range(2):
            with pytest.raises(ChatTemplateError, match=message):
                plain.render_chat([user("Hi")], template)
        assert text_of(plain.render_chat([user("Hi")])) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"

    def test_is_a_value_error(self) -> None:
        assert issubclass(ChatTemplateError, ValueError)

    @pytest.mark.parametrize(
        ("messages", "args", "message"),
        [
            ([{"content": "x"}], {}, r"messages_json\[0\] has no role"),
            ([{"role": 1, "content": "x"}], {}, r"messages_json\[0\] has no role"),
            ([user("a"), user(1)], {}, r"messages_json\[1\] has a content"),
            ([user(object())], {}, "messages cannot be written as JSON"),
            ([user("\ud800")], {}, "messages cannot be written as JSON"),
            ([user("a")], {"x": {1, 2}}, "template_args cannot be written as JSON"),
            ([user("a")], {"x": float("nan")}, "template_args cannot be written as JSON"),
            ([user("a")], {"messages": []}, "args_json sets messages"),
        ],
    )
    def test_input(self, plain: NativeModel, messages: list[Message], args: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            plain.render_chat(messages, args=args)
        assert not isinstance(caught.value, ChatTemplateError)

    def test_nesting(self, plain: NativeModel) -> None:
        deep: list[Any] = []
        for _ in range(100):
            deep = [deep]
        with pytest.raises(ValueError, match="args_json is nested too deeply"):
            plain.render_chat([user("a")], args={"x": deep})

    def test_no_template(self, model_file: Callable[[str], Path]) -> None:
        model = load_backend("cpu").load_model(model_file("tiny-llama-bytes"), load_options(n_ctx=64))
        with pytest.raises(ChatTemplateError, match="brings no chat template"):
            model.render_chat([user("Hi")])
        assert text_of(model.render_chat([user("Hi")], "<{{ messages[0].content }}>")) == "<Hi>"
        model.close()
