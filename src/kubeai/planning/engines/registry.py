"""All engines. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from kubeai.planning.engines.faster_whisper import FASTER_WHISPER
from kubeai.planning.engines.infinity import INFINITY
from kubeai.planning.engines.llama_cpp import LLAMA_CPP
from kubeai.planning.engines.ollama import OLLAMA
from kubeai.planning.engines.sglang import SGLANG
from kubeai.planning.engines.spec import Engine
from kubeai.planning.engines.tei import TEI
from kubeai.planning.engines.vllm import VLLM

ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        VLLM,
        OLLAMA,
        FASTER_WHISPER,
        INFINITY,
        LLAMA_CPP,
        SGLANG,
        TEI,
    )
}
