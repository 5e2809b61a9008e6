"""Programs that other packages' users write, unchanged but for the address; run by the Python that has the packages.

``python -I client_programs.py NAME URL CHAT_MODEL EMBEDDING_MODEL``
"""

# Without the annotations of the future: clients read those of their users' functions.

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

QUESTION = "What is the capital of France? Answer in one word."
MESSAGES = [{"role": "user", "content": QUESTION}]


@dataclass(frozen=True)
class Server:
    """Where to ask, and for what."""

    url: str
    chat: str
    embed: str


PROGRAMS: dict[str, Callable[[Server], None]] = {}


def program(function: Callable[[Server], None]) -> Callable[[Server], None]:
    """Has a name on the command line."""
    PROGRAMS[function.__name__] = function
    return function


def get_weather(city: Literal["Paris", "Rome"]) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def capital_type() -> Any:
    from pydantic import BaseModel

    class Capital(BaseModel):
        city: str
        country: str

    return Capital


@program
def openai(server: Server) -> None:
    """The major version before the one that the other tests use."""
    from openai import OpenAI, pydantic_function_tool

    capital = capital_type()
    with OpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
        asked: Any = {"model": server.chat, "messages": MESSAGES, "temperature": 0, "max_tokens": 100}
        whole = client.chat.completions.create(**asked).choices[0].message.content
        with client.chat.completions.stream(**asked) as stream:
            stream.until_done()
            assert stream.get_final_completion().choices[0].message.content == whole
        assert isinstance(
            client.chat.completions.parse(**asked, response_format=capital).choices[0].message.parsed, capital
        )
        called = client.chat.completions.parse(**asked, tools=[pydantic_function_tool(capital)], tool_choice="required")
        (call,) = called.choices[0].message.tool_calls or []
        assert isinstance(call.function.parsed_arguments, capital)
        result: Any = [called.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Paris"}]
        assert client.chat.completions.create(**{**asked, "messages": MESSAGES + result}).choices[0].message.content
        assert len(client.embeddings.create(model=server.embed, input="a cat").data[0].embedding) == 384
        response = client.responses.create(model=server.chat, input=QUESTION, temperature=0, max_output_tokens=100)
        assert response.output_text == whole


@program
def langchain(server: Server) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    at: Any = {"base_url": server.url, "api_key": "any"}
    chat = ChatOpenAI(**at, model=server.chat, temperature=0, max_tokens=100, stream_usage=True)
    whole = chat.invoke(QUESTION)
    assert whole.content
    assert whole.usage_metadata
    chunks = list(chat.stream(QUESTION))
    assert "".join(str(chunk.content) for chunk in chunks) == whole.content
    assert any(chunk.usage_metadata == whole.usage_metadata for chunk in chunks), chunks[-1]
    capital = capital_type()
    for method in ("json_schema", "function_calling"):
        found = chat.with_structured_output(capital, method=method).invoke(QUESTION)
        assert isinstance(found, capital), found
    weather = tool(get_weather)
    asked = chat.bind_tools([weather], tool_choice="required").invoke(QUESTION)
    (call,) = asked.tool_calls
    history = [HumanMessage(QUESTION), asked, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
    assert chat.invoke(history).content
    assert ChatOpenAI(**at, model=server.chat, temperature=0, use_responses_api=True).invoke(QUESTION).text
    vectors = OpenAIEmbeddings(**at, model=server.embed, check_embedding_ctx_length=False)
    assert len(vectors.embed_query("a cat")) == 384


@program
def llama_index(server: Server) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(
        api_base=server.url,
        api_key="any",
        model=server.chat,
        is_chat_model=True,
        is_function_calling_model=True,
        temperature=0,
        max_tokens=100,
    )
    messages = [ChatMessage(role="user", content=QUESTION)]
    whole = llm.chat(messages).message.content
    assert whole
    assert [*llm.stream_chat(messages)][-1].message.content == whole
    assert llm.complete(QUESTION).text == whole
    answer = llm.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg=QUESTION, tool_required=True)
    (call,) = llm.get_tool_calls_from_response(answer)
    assert get_weather(**call.tool_kwargs).startswith("sunny")


@program
def litellm(server: Server) -> None:
    # Else it fetches a list of prices.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    at = {"api_base": server.url, "api_key": "any"}
    asked: dict[str, Any] = {
        "model": f"openai/{server.chat}",
        **at,
        "messages": MESSAGES,
        "temperature": 0,
        "max_tokens": 100,
    }
    whole = litellm.completion(**asked).choices[0].message.content
    streamed = litellm.completion(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(streamed)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == whole
    assert chunks[-1].usage.completion_tokens
    parameters = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    weather = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    called = litellm.completion(**asked, tools=[weather], tool_choice="required")
    assert json.loads(called.choices[0].message.tool_calls[0].function.arguments)["city"]
    vectors = litellm.embedding(model=f"openai/{server.embed}", **at, input=["a cat"])
    assert len(vectors.data[0]["embedding"]) == 384


@program
def instructor(server: Server) -> None:
    import instructor
    from openai import OpenAI

    capital = capital_type()
    with OpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
        for mode in (instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS):
            found = instructor.from_openai(client, mode=mode).chat.completions.create(
                model=server.chat, messages=MESSAGES, response_model=capital, temperature=0, max_tokens=100
            )
            assert isinstance(found, capital), (mode, found)


@program
def pydantic_ai(server: Server) -> None:
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    capital = capital_type()

    async def run() -> None:
        provider = OpenAIProvider(base_url=server.url, api_key="any")
        settings: Any = {"temperature": 0, "max_tokens": 100}
        model = OpenAIChatModel(server.chat, provider=provider)
        whole = (await Agent(model, model_settings=settings).run(QUESTION)).output
        assert whole
        async with Agent(model, model_settings=settings).run_stream(QUESTION) as stream:
            assert await stream.get_output() == whole
        for output in (NativeOutput(capital), capital):
            found = await Agent(model, output_type=output, model_settings=settings).run(QUESTION)
            assert isinstance(found.output, capital), found
        responses = OpenAIResponsesModel(server.chat, provider=provider)
        assert (await Agent(responses, model_settings=settings).run(QUESTION)).output == whole

    asyncio.run(run())


@program
def llm(server: Server) -> None:
    from click.testing import CliRunner

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "extra-openai-models.yaml").write_text(
            f"- model_id: here\n  model_name: {server.chat}\n  api_base: {server.url}\n  supports_tools: true\n"
        )
        os.environ.update(LLM_USER_PATH=folder, OPENAI_API_KEY="any")
        from llm.cli import cli

        answers = []
        for more in ([], ["--no-stream"]):
            done = CliRunner().invoke(
                cli, ["-m", "here", "-o", "temperature", "0", "-o", "max_tokens", "100", *more, QUESTION]
            )
            assert done.exit_code == 0, done.output
            answers.append(done.output)
        assert answers[0].strip()
        assert answers[0] == answers[1]


if __name__ == "__main__":
    name, url, chat, embed = sys.argv[1:]
    PROGRAMS[name](Server(url, chat, embed))
