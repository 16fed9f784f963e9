"""OpenAI's own library for Python."""

from __future__ import annotations

import io
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Instance

pytestmark = pytest.mark.clients

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]


def test_a_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=20)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    assert answer._request_id


def test_a_stream_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="smollm2", messages=QUESTION, max_tokens=20, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "Paris" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(chunks) > 3
    assert chunks[-1].usage is not None


def test_a_stream_without_usage_has_none(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=5, stream=True)
    assert not [chunk.usage for chunk in stream if chunk.usage]


def test_a_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=5)
    assert "Paris" in answer.choices[0].text


def test_a_response(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="tools", input="What is the capital of France?", max_output_tokens=20)
    assert answer.output_text


def test_text_in_parts(client: openai.OpenAI) -> None:
    parts: Any = [{"type": "text", "text": "What is the capital"}, {"type": "text", "text": " of France?"}]
    answer = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": parts}], max_tokens=20
    )
    assert "Paris" in (answer.choices[0].message.content or "")


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="vectors", input=["Paris", "London"])
    assert [len(item.embedding) for item in answer.data] == [576, 576]


def test_the_models(client: openai.OpenAI) -> None:
    assert {"smollm2", "tools"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("vectors").id == "vectors"


ERRORS: dict[str, tuple[type[openai.APIStatusError], str, dict[str, Any]]] = {
    "an unknown model": (openai.NotFoundError, "nobody", {"model": "nobody"}),
    "a model without the feature": (openai.BadRequestError, "TextGeneration", {"model": "vectors"}),
    "a request that the engine refuses": (openai.BadRequestError, "messages", {"messages": "hi"}),
}


@pytest.mark.parametrize(("error", "match", "fields"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_the_librarys_own(
    client: openai.OpenAI, error: type[openai.APIStatusError], match: str, fields: dict[str, Any]
) -> None:
    # fault P10
    request: Any = {"model": "smollm2", "messages": QUESTION, "max_tokens": 5} | fields
    with pytest.raises(error, match=match) as caught:
        client.chat.completions.create(**request)
    assert caught.value.request_id


def test_an_upload_for_a_model_that_cannot_hear(client: openai.OpenAI) -> None:
    sound = io.BytesIO(b"RIFF" + bytes(200_000))
    sound.name = "sound.wav"
    with pytest.raises(openai.BadRequestError, match="SpeechToText"):
        client.audio.transcriptions.create(model="smollm2", file=sound)


def test_a_time_out_ends_the_engines_work(client: openai.OpenAI, kubeai: Instance) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(
            model="smollm2", messages=[{"role": "user", "content": "Count to a thousand."}], max_tokens=2000
        )
    active = 'kubeai_inference_requests_active{request_model="smollm2",request_type="http"} 0'

    def at_rest() -> bool:
        return active in client.get("../../metrics", cast_to=str)

    kubeai.wait_for(at_rest, "the request to end")


def test_what_cannot_be_mended_is_not_tried_again(base_url: str) -> None:
    tries: list[object] = []
    with (
        openai.DefaultHttpxClient(event_hooks={"request": [tries.append]}) as http,
        openai.OpenAI(base_url=base_url, api_key="none", timeout=100, max_retries=2, http_client=http) as client,
        pytest.raises(openai.NotFoundError),
    ):
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert len(tries) == 1
