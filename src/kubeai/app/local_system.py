"""The system configuration of one machine: the user's, if there is one, with servers that run as local processes.

The same `system.yaml` as on a cluster is accepted. Container images cannot run here, so each engine's images become
the local recipe of that engine; the rest of the file means what it always means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubeai.config.load import parse_system, read_config
from kubeai.config.system import System

#: Engine -> the image name under which the node agent knows how to start it as a process.
LOCAL_IMAGES = {
    "LlamaCpp": "local/llamacpp",
    "Infinity": "local/infinity",
    "FasterWhisper": "local/faster-whisper",
    "VLLM": "local/vllm",
    "OLlama": "local/ollama",
    "SGLang": "local/sglang",
    "TEI": "local/tei",
}
LOCAL_LOADER_IMAGE = "local/loader"

_DEFAULTS: dict[str, Any] = {
    "resourceProfiles": {
        "cpu": {"requests": {"cpu": 1, "memory": "2Gi"}},
        "nvidia-gpu": {"limits": {"nvidia.com/gpu": 1}},
    },
    # One user's traffic is bursty and short: follow it in seconds, where a cluster averages over minutes.
    "modelAutoscaling": {
        "interval": "2s",
        "timeWindow": "20s",
        "stateConfigMapName": "kubeai-autoscaler-state",
    },
}


def local_system(config: Path | None) -> System:
    """Read `config` (or take the defaults) and fit it to this machine.

    Raises `ConfigError` with the file and the key.
    """
    data = dict(_DEFAULTS)
    source = "built-in configuration"
    if config is not None:
        source = str(config)
        data |= {key: value for key, value in read_config(config).items() if value is not None}
    data["modelServers"] = {engine: _local_images(data, engine) for engine in LOCAL_IMAGES}
    loading = data.get("modelLoading")
    data["modelLoading"] = (loading if isinstance(loading, dict) else {}) | {"image": LOCAL_LOADER_IMAGE}
    data["allowPodAddressOverride"] = True
    return parse_system(data, source)


def _local_images(data: dict[str, Any], engine: str) -> dict[str, Any]:
    """Every image name that a profile may ask for stays valid; each stands for the local server."""
    servers = data.get("modelServers")
    configured = servers.get(engine) if isinstance(servers, dict) else None
    images = configured.get("images") if isinstance(configured, dict) else None
    names = images if isinstance(images, dict) else {}
    return {"images": dict.fromkeys(["default", *names], LOCAL_IMAGES[engine])}
