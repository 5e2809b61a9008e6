"""Other programs that speak with OpenAI's interface, unchanged. ``pip install -e .[clients]`` brings them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.support.http.served import Running

# Their warnings are their own.
pytestmark = [pytest.mark.model, pytest.mark.clients, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

QUESTION = "What is the capital of France?"


class Capital(BaseModel):
    city: str
    country: str


def test_langchain(server: Running) -> None:
    langchain = pytest.importorskip("langchain_openai")
    chat = langchain.ChatOpenAI(
        base_url=f"{server.url}/v1", api_key="any", model=server.chat, temperature=0, max_tokens=24, stream_usage=True
    )
    whole = chat.invoke(QUESTION)
    assert whole.content
    assert whole.usage_metadata["output_tokens"] <= 24
    chunks = list(chat.stream(QUESTION))
    assert "".join(chunk.content for chunk in chunks) == whole.content
    structured = chat.bind(max_tokens=100).with_structured_output(Capital, method="json_schema")
    assert isinstance(structured.invoke(QUESTION), Capital)
    vectors = langchain.OpenAIEmbeddings(
        base_url=f"{server.url}/v1", api_key="any", model=server.embed, check_embedding_ctx_length=False
    )
    assert len(vectors.embed_query("a cat")) == 384


def test_llama_index(server: Running) -> None:
    openai_like = pytest.importorskip("llama_index.llms.openai_like")
    llm = openai_like.OpenAILike(
        api_base=f"{server.url}/v1", api_key="any", model=server.chat, is_chat_model=True, temperature=0, max_tokens=16
    )
    from llama_index.core.llms import ChatMessage

    messages = [ChatMessage(role="user", content=QUESTION)]
    whole = llm.chat(messages)
    assert whole.message.content
    assert [*llm.stream_chat(messages)][-1].message.content == whole.message.content


def test_litellm(server: Running) -> None:
    litellm = pytest.importorskip("litellm")
    asked: dict[str, Any] = {
        "model": f"openai/{server.chat}",
        "api_base": f"{server.url}/v1",
        "api_key": "any",
        "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0,
        "max_tokens": 12,
    }
    whole = litellm.completion(**asked)
    streamed = litellm.completion(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == whole.choices[0].message.content
    vectors = litellm.embedding(
        model=f"openai/{server.embed}", api_base=f"{server.url}/v1", api_key="any", input=["a cat"]
    )
    assert len(vectors.data[0]["embedding"]) == 384


def test_instructor(server: Running) -> None:
    instructor = pytest.importorskip("instructor")
    client = instructor.from_openai(server.client(), mode=instructor.Mode.JSON_SCHEMA)
    found = client.chat.completions.create(
        model=server.chat,
        messages=[{"role": "user", "content": QUESTION}],
        response_model=Capital,
        temperature=0,
        max_tokens=100,
    )
    assert isinstance(found, Capital)


def test_pydantic_ai(server: Running) -> None:
    ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(server.chat, provider=OpenAIProvider(base_url=f"{server.url}/v1", api_key="any"))
    settings = {"temperature": 0, "max_tokens": 100}
    assert ai.Agent(model, model_settings=settings).run_sync(QUESTION).output
    agent = ai.Agent(model, output_type=ai.NativeOutput(Capital), model_settings=settings)
    assert isinstance(agent.run_sync(QUESTION).output, Capital)


def test_llm(server: Running, tmp_path: Path) -> None:
    pytest.importorskip("llm")
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: here\n  model_name: {server.chat}\n  api_base: {server.url}/v1\n"
    )
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "any"}
    command = [sys.executable, "-m", "llm", "-m", "here", "-o", "temperature", "0", "-o", "max_tokens", "12", QUESTION]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    body = {"model": server.chat, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    told = server.post("/v1/chat/completions", {**body, "max_tokens": 12}).json()
    assert done.stdout.strip() == told["choices"][0]["message"]["content"].strip(), json.dumps(told)


def test_the_description_holds(server: Running, tmp_path: Path) -> None:
    """Schemathesis sends what the description allows, and what it does not."""
    pytest.importorskip("schemathesis")
    # Answers that take long find nothing; a few tokens are enough.
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            "run",
            f"{server.url}/openapi.json",
            "--max-examples=15",
            "--phases=examples,coverage,fuzzing",
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--request-timeout=60",
            "--generation-deterministic",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
