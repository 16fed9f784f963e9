"""SGLang: text generation, embeddings and reranking on GPUs."""

from __future__ import annotations

from kubeai.planning.engines.spec import DIRECTORY_SOURCES, PORT, Engine, Fetch, Launch, Server
from kubeai.planning.pods.probes import Probes

_NOT_GENERATING = frozenset({"TextEmbedding", "Reranking"})


def serve(launch: Launch) -> Server:
    return Server(
        command=("python3", "-m", "sglang.launch_server"),
        args=(
            f"--model-path={launch.reference}",
            f"--served-model-name={launch.name}",
            "--host=0.0.0.0",
            f"--port={PORT}",
            "--enable-metrics",
            *([f"--revision={launch.revision}"] if launch.revision else []),
            # One process makes texts or vectors, not both.
            *(["--is-embedding"] if launch.features and launch.features <= _NOT_GENERATING else []),
            *launch.args,
        ),
    )


SGLANG = Engine(
    name="SGLang",
    serve=serve,
    probes=Probes(path="/health", startup_limit_s=3 * 60 * 60),
    sources={**DIRECTORY_SOURCES, "hf": Fetch.SERVER, "s3": Fetch.LOADER},
)
