"""Names of Models for the shell's completion: quick, or nothing. It must never print or fail."""

from __future__ import annotations

PATIENCE_S = 1.0


def complete_model(incomplete: str) -> list[str]:
    try:
        return [name for name in _model_names() if name.startswith(incomplete)]
    except Exception:  # whatever it is: who presses Tab wants no error
        return []


def _model_names() -> list[str]:
    import asyncio

    from kubeai.api.k8s.resources import MODELS
    from kubeai.kube.client import Client

    from .target import Target, find_cluster

    async def read() -> list[str]:
        async with asyncio.timeout(PATIENCE_S), Client(find_cluster(Target())) as client:
            return [model["metadata"]["name"] for model in await client.list(MODELS)]

    return asyncio.run(read())
