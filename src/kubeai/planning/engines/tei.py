"""Text Embeddings Inference: embeddings and reranking, on CPUs and GPUs."""

from __future__ import annotations

from kubeai.planning.engines.spec import DIRECTORY_SOURCES, PORT, Engine, Fetch, Launch, Server
from kubeai.planning.pods.probes import Probes


def serve(launch: Launch) -> Server:
    return Server(
        args=(
            f"--model-id={launch.reference}",
            "--hostname=0.0.0.0",
            f"--port={PORT}",
            *([f"--revision={launch.revision}"] if launch.revision else []),
            *launch.args,
        ),
        # As variables: releases that do not know one of them start all the same.
        env=(
            ("SERVED_MODEL_NAME", launch.name),
            # A text that is too long for the model is cut, as other engines do, instead of refused.
            ("AUTO_TRUNCATE", "true"),
        ),
    )


TEI = Engine(
    name="TEI",
    serve=serve,
    probes=Probes(path="/health", startup_limit_s=20 * 60),
    sources={**DIRECTORY_SOURCES, "hf": Fetch.SERVER, "s3": Fetch.LOADER},
)
