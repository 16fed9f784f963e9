"""Ollama: a server that pulls, names and loads models through its own API while it runs.

That work is done by a second container, the loader, which speaks HTTP to the server and is ready only when the model
is pulled, renamed and loaded; no shell sees any of the Model's text (fault O8).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from kubeai.api.modelurl import ModelURL
from kubeai.planning.engines.spec import MODEL_DIRECTORY, PORT, Engine, Fetch, Launch, Server
from kubeai.planning.errors import PlanningError
from kubeai.planning.pods.probes import Probes, http_probe
from kubeai.planning.reasons import Reason

LOADER_PORT = 8001


def serve(launch: Launch) -> Server:
    stored = launch.weights.fetch in (Fetch.CLAIM, Fetch.HOST)
    return Server(
        args=launch.args,
        env=(
            ("OLLAMA_HOST", f"0.0.0.0:{PORT}"),
            # Each Pod serves one model, so nothing may push it out of memory; 0 would mean "at once".
            ("OLLAMA_KEEP_ALIVE", "999999h"),
            *((("OLLAMA_MODELS", MODEL_DIRECTORY),) if stored else ()),
        ),
        sidecars=(_loader(launch, stored),),
    )


def _loader(launch: Launch, stored: bool) -> dict[str, Any]:
    return {
        "name": "loader",
        "image": launch.loader_image,
        "args": [_pull_url(launch, stored), f"http://localhost:{PORT}/{launch.name}"],
        "readinessProbe": http_probe("/readyz", period_s=2, timeout_s=2, failures=3, port=LOADER_PORT),
    }


def _pull_url(launch: Launch, stored: bool) -> str:
    source = launch.source
    if stored and not source.model:
        raise PlanningError(
            Reason.INVALID_URL,
            f"spec.url: {source.raw!r} does not say which of the stored models to serve: add ?model=NAME.",
        )
    parameters = {
        "insecure": "true" if source.insecure else None,
        "pull": "false" if stored or not source.pull else None,
        # Only a model that generates text can be loaded by a prompt.
        "load": None if "TextGeneration" in launch.features else "false",
    }
    query = urlencode({key: value for key, value in parameters.items() if value})
    return f"ollama://{source.model if stored else _registry_name(source)}" + (f"?{query}" if query else "")


def _registry_name(source: ModelURL) -> str:
    """The hub is a registry to Ollama, under its host's name; a file of a repository is a tag there."""
    if source.scheme != "hf":
        return source.ref
    return f"hf.co/{source.ref}" + (f":{source.model}" if source.model else "")


OLLAMA = Engine(
    name="OLlama",
    serve=serve,
    probes=Probes(path="/", startup_limit_s=300, startup_period_s=3, startup_delay_s=1, liveness_delay_s=900),
    # It keeps models in a store of its own.
    directories=False,
    sources={"ollama": Fetch.SERVER, "hf": Fetch.SERVER, "pvc": Fetch.CLAIM, "file": Fetch.HOST},
)
