"""Infinity: embeddings and reranking."""

from __future__ import annotations

from kubeai.planning.engines.spec import DIRECTORY_SOURCES, PORT, Engine, Fetch, Launch, Server
from kubeai.planning.pods.probes import Probes


def serve(launch: Launch) -> Server:
    return Server(
        args=("v2", *launch.args),
        env=(
            ("INFINITY_MODEL_ID", launch.reference),
            ("INFINITY_SERVED_MODEL_NAME", launch.name),
            ("INFINITY_URL_PREFIX", "/v1"),
            ("INFINITY_ENGINE", "torch"),
            ("INFINITY_PORT", str(PORT)),
        ),
    )


INFINITY = Engine(
    name="Infinity",
    serve=serve,
    probes=Probes(path="/health", startup_limit_s=20 * 60),
    sources={**DIRECTORY_SOURCES, "hf": Fetch.SERVER, "s3": Fetch.LOADER},
)
