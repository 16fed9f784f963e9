"""The large engines through everything: `kubeai up`, a Model at zero, the gateway, and OpenAI's own client."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.engines.test_faster_whisper import tone

from .conftest import ROOT, Instance

#: Seconds to install an engine of several gigabytes and to start it.
INSTALL_S = 900
pytestmark = [pytest.mark.engines, pytest.mark.timeout(INSTALL_S + 100)]


@pytest.fixture
def client(instance: Instance) -> Iterator[openai.OpenAI]:
    url = f"{instance.url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="none", timeout=INSTALL_S, max_retries=0) as client:
        yield client


def install(instance: Instance, engine: str) -> None:
    """Ahead of the request, whose wait has a limit."""
    command = [sys.executable, "-m", "kubeai", "engines", "install", engine, "--data-dir", str(instance.data_dir)]
    subprocess.run(command, check=True, timeout=INSTALL_S)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def test_infinity_embeds_from_zero(instance: Instance, client: openai.OpenAI) -> None:
    install(instance, "infinity")
    instance.apply(ROOT / "examples/all-minilm.yaml")
    sentences = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]
    answer = client.embeddings.create(model="all-minilm", input=sentences, encoding_format="float")
    cat, kitten, rates = (item.embedding for item in answer.data)
    assert len(cat) == 384
    assert cosine(cat, kitten) > 0.5 > cosine(cat, rates)
    assert "384" in instance.kubeai("embed", "all-minilm", "A cat")


def test_faster_whisper_transcribes_from_zero(instance: Instance, client: openai.OpenAI, tmp_path: Path) -> None:
    install(instance, "faster-whisper")
    python = instance.data_dir / "engines/faster-whisper/bin/python"
    weights = tmp_path / "whisper"
    subprocess.run([python, ROOT / "tests/engines/make_whisper.py", weights], check=True, timeout=300)
    instance.apply(
        {
            "apiVersion": "kubeai.org/v1",
            "kind": "Model",
            "metadata": {"name": "whisper"},
            "spec": {
                "engine": "FasterWhisper",
                "features": ["SpeechToText"],
                "url": f"file://{weights}",
                "minReplicas": 0,
            },
        }
    )
    answer = client.audio.transcriptions.create(
        model="whisper", file=("tone.wav", tone(), "audio/wav"), language="en", temperature=0
    )
    assert answer.text
