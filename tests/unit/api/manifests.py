"""Model manifests as users write them, for the tests of the API."""

from __future__ import annotations

from typing import Any


def manifest(*, name: str = "m", without: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    """A good Model; keywords set fields of its spec, `without` leaves some out."""
    fields = {"url": "hf://org/name", "engine": "VLLM", "features": ["TextGeneration"]} | spec
    return {
        "apiVersion": "kubeai.org/v1",
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {key: value for key, value in fields.items() if key not in without},
    }


def file(path: str = "/a", content: str = "") -> dict[str, str]:
    return {"path": path, "content": content}


def adapter(name: str = "a", url: str = "hf://org/adapter") -> dict[str, str]:
    return {"name": name, "url": url}
