"""Images and sounds in chats, by OpenAI's own library for Python: to a model with eyes and ears, and to one without."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import openai
import pytest

from tests.engines.make_gguf_senses import IMAGE_TOKENS, SOUND_TOKENS
from tests.engines.test_faster_whisper import tone

pytestmark = pytest.mark.clients


def png(red: int, green: int, blue: int, side: int = 8) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes((red, green, blue)) * side) * side
    head = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


RED, BLUE = png(255, 0, 0), png(0, 0, 255)


def image(content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(content).decode()}"}}


def sound(content: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(content).decode(), "format": "wav"}}


def asked(*parts: dict[str, Any]) -> Any:
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


def read(client: openai.OpenAI, *parts: dict[str, Any]) -> tuple[int, list[tuple[str, float]]]:
    """How long the prompt was, and what the model thinks of the first word: the same for the same prompt."""
    answer = client.chat.completions.create(
        model="senses", messages=asked(*parts), max_tokens=1, logprobs=True, top_logprobs=3
    )
    assert answer.usage
    assert answer.choices[0].logprobs
    (word,) = answer.choices[0].logprobs.content or []
    return answer.usage.prompt_tokens, [(each.token, round(each.logprob, 1)) for each in word.top_logprobs]


def test_an_image_reaches_the_model_as_it_is(client: openai.OpenAI) -> None:
    (words, nothing), (length, red), (_, blue) = (read(client, *map(image, each)) for each in ((), (RED,), (BLUE,)))
    assert length == words + IMAGE_TOKENS
    assert len({str(each) for each in (nothing, red, blue)}) == 3


def test_a_sound_reaches_the_model(client: openai.OpenAI) -> None:
    (words, nothing), (length, heard) = (read(client, *map(sound, each)) for each in ((), (tone(),)))
    assert length == words + SOUND_TOKENS
    assert heard != nothing


def test_a_chat_with_images_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="senses", messages=asked(image(RED), image(BLUE)), max_tokens=8, stream=True
    )
    assert len([chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content]) > 3


FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
#: llama.cpp calls it a fault of its own that a model has no eyes or ears.
REFUSED: dict[str, tuple[str, dict[str, Any], type[openai.APIStatusError], str]] = {
    "an image that is broken": ("senses", image(RED[:20]), openai.BadRequestError, "Failed to load image"),
    "a sound that is broken": ("senses", sound(b"RIFF"), openai.BadRequestError, "Failed to load image or audio"),
    "an image for a model without eyes": (
        "smollm2",
        image(RED),
        openai.InternalServerError,
        "image input is not supported",
    ),
    "a sound for a model without ears": (
        "smollm2",
        sound(tone()),
        openai.InternalServerError,
        "audio input is not supported",
    ),
    "a file": ("smollm2", FILE, openai.BadRequestError, "unsupported content"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "part", "error", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_engine_cannot_read_is_refused_in_its_words(
    client: openai.OpenAI, model: str, part: Any, error: type[openai.APIStatusError], match: str, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError, match=match) as caught:
        client.chat.completions.create(model=model, messages=asked(part), max_tokens=5, stream=stream)
    assert type(caught.value) is error
    assert caught.value.request_id
