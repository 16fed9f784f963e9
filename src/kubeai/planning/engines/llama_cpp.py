"""llama.cpp's server: text, embeddings and reranking from one GGUF file, on CPUs too."""

from __future__ import annotations

from kubeai.planning.engines.spec import DIRECTORY_SOURCES, PORT, AdapterLoading, Engine, Fetch, Launch, Server
from kubeai.planning.pods.probes import Probes


def serve(launch: Launch) -> Server:
    return Server(
        args=(
            f"--model={launch.weights.directory}/{launch.weights.file}",
            f"--alias={launch.name}",
            "--host=0.0.0.0",
            f"--port={PORT}",
            "--metrics",
            *(["--embeddings"] if "TextEmbedding" in launch.features else []),
            *(["--reranking"] if "Reranking" in launch.features else []),
            # Ours come first: requests name them by number. None is applied unless a request asks for it.
            *(f"--lora={file}" for file in launch.adapter_files),
            *(["--lora-init-without-apply"] if launch.adapter_files else []),
            *launch.args,
        )
    )


LLAMA_CPP = Engine(
    name="LlamaCpp",
    serve=serve,
    # A file on disk loads in seconds: ask often, so that a cold start is short.
    probes=Probes(path="/health", startup_limit_s=30 * 60, startup_period_s=1),
    sources={**DIRECTORY_SOURCES, "hf": Fetch.LOADER, "s3": Fetch.LOADER},
    weights_suffix=".gguf",
    adapters=AdapterLoading.AT_START,
)
