"""Pods as the operator makes them, and requests to the servers in them."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

from kubeai.config.system import System
from kubeai.planning.pods.build import build_pod
from tests.builders import model
from tests.unit.embedded.node.machine import Machine

JSONObject = dict[str, Any]
#: with the installation of an engine of several gigabytes
_START_DEADLINE_S = 800
#: A busy machine with two cores takes its time for a few words.
_ANSWER_S = 300
_IMAGES = {
    "LlamaCpp": "local/llamacpp",
    "Infinity": "local/infinity",
    "FasterWhisper": "local/faster-whisper",
    "OLlama": "local/ollama",
    "VLLM": "local/vllm",
}


def server_pod(name: str, system: System, **spec: Any) -> JSONObject:
    """The Pod of a Model, without its owner: there is no operator here."""
    pod = build_pod(model(name, **spec), system)
    pod["metadata"].pop("ownerReferences", None)
    pod["metadata"].pop("namespace", None)
    pod["metadata"]["name"] = name
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def local_images() -> JSONObject:
    """The parts of a system configuration that name what runs on one machine."""
    servers = {engine: {"images": {"default": image}} for engine, image in _IMAGES.items()}
    return {"modelServers": servers, "modelLoading": {"image": "local/loader"}}


async def get(url: str) -> Any:
    return await _send(urllib.request.Request(url))


async def post(url: str, body: Any, content_type: str = "application/json") -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await _send(urllib.request.Request(url, data, {"Content-Type": content_type}))


async def _send(request: urllib.request.Request) -> Any:
    def send() -> Any:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            return json.loads(answer.read() or b"null")

    return await asyncio.to_thread(send)


async def serve(local: Machine, pod: JSONObject) -> str:
    """Create the Pod; the base URL of its server once it is ready."""
    await local.create(pod)
    status = await local.until_ready(pod["metadata"]["name"], _START_DEADLINE_S)
    return f"http://{status['podIP']}:8000"
