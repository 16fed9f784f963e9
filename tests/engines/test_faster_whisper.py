"""Speech to text with a tiny Whisper that is made here."""

from __future__ import annotations

import asyncio
import io
import math
import struct
import sys
import wave
from pathlib import Path

import pytest

from kubeai.embedded.node.engines import Engines
from tests.builders import system
from tests.engines.serving import local_images, post, serve, server_pod
from tests.unit.embedded.node.machine import Machine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]
_BOUNDARY = "part"


def tone() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        samples = (int(8000 * math.sin(2 * math.pi * 440 * i / 16000)) for i in range(16000))
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return buffer.getvalue()


def form(audio: bytes, **fields: str) -> bytes:
    head = 'Content-Disposition: form-data; name="{}"'
    parts = [f"{head.format(name)}\r\n\r\n{value}".encode() for name, value in fields.items()]
    file = f'{head.format("file")}; filename="tone.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    parts.append(file.encode() + audio)
    return b"".join(b"--part\r\n" + part + b"\r\n" for part in parts) + b"--part--\r\n"


async def make_model(local: Machine, directory: Path) -> None:
    install = await Engines(local.data_dir).install("faster-whisper", lambda *_: None)
    script = Path(__file__).with_name("make_whisper.py")
    process = await asyncio.create_subprocess_exec(install.python, script, directory, stdout=sys.stderr)
    assert await process.wait() == 0


async def test_audio_goes_in_and_text_comes_out(local: Machine, tmp_path: Path) -> None:
    await make_model(local, tmp_path / "whisper")
    url = f"file://{tmp_path}/whisper"
    pod = server_pod("tiny", system(**local_images()), engine="FasterWhisper", url=url, features=["SpeechToText"])
    content_type = f"multipart/form-data; boundary={_BOUNDARY}"
    async with local.agent():
        base = await serve(local, pod)
        body = form(tone(), temperature="0", language="en")
        answer = await post(f"{base}/v1/audio/transcriptions", body, content_type)
    assert answer["text"]
