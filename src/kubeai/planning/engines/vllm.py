"""vLLM: text generation and embeddings, with LoRA adapters loaded at run time."""

from __future__ import annotations

from kubeai.planning.engines.spec import DIRECTORY_SOURCES, AdapterLoading, Engine, Fetch, Launch, Server
from kubeai.planning.pods.probes import Probes


def serve(launch: Launch) -> Server:
    # Without a local copy an object store is streamed straight into the GPU's memory.
    streams = launch.source.scheme == "s3" and launch.weights.fetch is Fetch.SERVER
    reference = launch.source.raw if streams else launch.reference
    return Server(
        command=("python3", "-m", "vllm.entrypoints.openai.api_server"),
        args=(
            f"--model={reference}",
            f"--served-model-name={launch.name}",
            *(["--load-format=runai_streamer"] if streams else []),
            *([f"--revision={launch.revision}"] if launch.revision else []),
            *launch.args,
            *(["--enable-lora"] if launch.adapters else []),
        ),
        env=(("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "True"),) if launch.adapters else (),
    )


VLLM = Engine(
    name="VLLM",
    serve=serve,
    probes=Probes(path="/health", startup_limit_s=3 * 60 * 60),
    sources={**DIRECTORY_SOURCES, "hf": Fetch.SERVER, "s3": Fetch.SERVER},
    adapters=AdapterLoading.WHILE_RUNNING,
)
