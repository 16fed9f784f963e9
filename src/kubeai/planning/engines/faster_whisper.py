"""FasterWhisper: speech to text."""

from __future__ import annotations

from kubeai.planning.engines.spec import DIRECTORY_SOURCES, Engine, Fetch, Launch, Server
from kubeai.planning.pods.probes import Probes


def serve(launch: Launch) -> Server:
    return Server(args=launch.args, env=(("WHISPER__MODEL", launch.reference), ("ENABLE_UI", "false")))


FASTER_WHISPER = Engine(
    name="FasterWhisper",
    serve=serve,
    probes=Probes(path="/health", startup_limit_s=30 * 60),
    sources={**DIRECTORY_SOURCES, "hf": Fetch.SERVER, "s3": Fetch.LOADER},
)
