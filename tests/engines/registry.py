"""A stand-in for an Ollama registry on loopback: the few reads of the OCI distribution API that a pull is made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.unit.loader.servers import Exchange, serve

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama"],
    "model_type": "134.52M",
    "file_type": "Q4_1",
    "architecture": "amd64",
    "os": "linux",
}


class Registry:
    """One model, `library/chat:v1`, which is one file of weights."""

    def __init__(self, weights: Path) -> None:
        self.content = weights.read_bytes()
        self.requests: list[str] = []
        self._digest = _digest(self.content)
        config = json.dumps(_CONFIG | {"rootfs": {"type": "layers", "diff_ids": [self._digest]}}).encode()
        self._blobs = {self._digest: self.content, _digest(config): config}
        self._manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _layer("application/vnd.docker.container.image.v1+json", config),
            "layers": [_layer("application/vnd.ollama.image.model", self.content)],
        }

    def answer(self, exchange: Exchange) -> None:
        self.requests.append(f"{exchange.command} {exchange.path}")
        prefix = "/v2/library/chat/"
        if exchange.path == f"{prefix}manifests/v1":
            exchange.send_json(self._manifest, 200, _MANIFEST)
        elif exchange.path.startswith(f"{prefix}blobs/"):
            # Ollama asks the registry where a blob is, and insists on being sent to another host.
            port = exchange.headers["Host"].rpartition(":")[2]
            digest = exchange.path.rpartition("/")[2]
            exchange.send(b"", 307, {"Location": f"http://localhost:{port}/storage/{digest}"})
        elif (blob := self._blobs.get(exchange.path.removeprefix("/storage/"))) is not None:
            exchange.send_file(blob, {"Content-Type": "application/octet-stream"})
        else:
            exchange.send_json({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, 404)


def _layer(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextlib.contextmanager
def registry(weights: Path) -> Iterator[tuple[Registry, str]]:
    """The registry, and its HOST:PORT."""
    made = Registry(weights)
    with serve(made.answer) as base:
        yield made, base.removeprefix("http://")
