"""Bad input and bad luck: each is a clear error, nothing is lost, and nobody sees a traceback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from .conftest import Instance


def up(data_dir: Path, *arguments: str, port: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """`kubeai up` that is expected to refuse."""
    command = [sys.executable, "-m", "kubeai", "up", "--data-dir", str(data_dir), "--port", str(port), *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def llama(name: str, weights: Path, **spec: Any) -> dict[str, Any]:
    defaults = {"engine": "LlamaCpp", "features": ["TextGeneration"], "url": f"file://{weights}", "minReplicas": 0}
    return {
        "apiVersion": "kubeai.org/v1",
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {**defaults, **spec},
    }


def post(url: str, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{url}/openai/v1/chat/completions", body, {"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        refusal = error
    with refusal:
        assert refusal.headers["content-type"] == "application/json"
        return refusal.code, json.load(refusal)["error"]


def chat(url: str, model: str) -> tuple[int, dict[str, Any]]:
    return post(url, json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode())


def condition(instance: Instance, model: str) -> dict[str, Any]:
    """The Ready condition of a Model."""
    (found,) = (obj for obj in instance.objects("models") if obj["metadata"]["name"] == model)
    conditions = found.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


def test_an_invalid_manifest_is_refused_with_file_field_and_rule(tmp_path: Path) -> None:
    manifest = tmp_path / "model.json"
    manifest.write_text(json.dumps(llama("m", tmp_path, minReplicas=3, maxReplicas=1)))
    done = up(tmp_path / "data", "--model", str(manifest))
    assert done.returncode == 1
    assert str(manifest) in done.stderr
    assert "minReplicas" in done.stderr


def test_a_port_in_use_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = up(tmp_path / "data", port=port)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "--port" in done.stderr


def test_a_data_directory_of_another_instance_is_left_alone(instance: Instance) -> None:
    done = up(instance.data_dir)
    assert done.returncode == 1
    assert "in use by another instance" in done.stderr
    assert instance.objects("models") == []


def test_a_corrupt_journal_is_kept_and_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    journal = data / "cluster.db"
    journal.write_bytes(b"this is no database" * 1000)
    done = up(data)
    assert done.returncode == 1
    assert str(journal) in done.stderr
    assert journal.read_bytes() == b"this is no database" * 1000


def test_an_unknown_model_is_404_in_openais_shape(instance: Instance) -> None:
    status, error = chat(instance.url, "nobody")
    assert (status, error["code"]) == (404, "model_not_found")
    assert "nobody" in error["message"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b'{"model": ', "JSON", id="malformed JSON"),
        pytest.param(b'{"messages": []}', "model", id="no model"),
        pytest.param(b'{"model": 1}', "model", id="a model that is no text"),
        pytest.param(b'{"model": "a", "model": "b"}', "model", id="two models"),
    ],
)
def test_a_bad_request_is_400_and_says_why(instance: Instance, body: bytes, says: str) -> None:
    status, error = post(instance.url, body)
    assert status == 400
    assert says in error["message"]


def test_a_missing_engine_is_a_condition_and_a_503_that_say_what_to_do(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama("needs-ollama", Path("/"), engine="OLlama", url="ollama://qwen2.5:0.5b")
    instance.stop()
    instance.environment["PATH"] = "/nowhere"  # even where Ollama is installed
    instance.start()
    instance.apply(model)
    status, error = chat(instance.url, "needs-ollama")
    assert status == 503
    assert "install Ollama" in error["message"]
    assert condition(instance, "needs-ollama")["reason"] == "EngineMissing"


def test_an_engine_that_dies_at_start_leaves_its_last_words(instance: Instance, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho loading weights\necho 'fatal: the weights are from Mars' >&2\nexit 7\n")
    program.chmod(0o755)
    weights = tmp_path / "weights.gguf"
    weights.touch()
    instance.stop()
    instance.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    instance.start()
    instance.apply(llama("martian", weights))
    status, error = chat(instance.url, "martian")
    assert status == 503
    assert "the weights are from Mars" in error["message"]
    found = condition(instance, "martian")
    assert found["reason"] == "CrashLoop"
    assert "the weights are from Mars" in found["message"]


def test_an_object_survives_a_sigkill_of_everything(instance: Instance, tmp_path: Path) -> None:
    instance.apply(llama("kept", tmp_path / "weights.gguf"))
    instance.stop(signal.SIGKILL)
    instance.start()
    assert [model["metadata"]["name"] for model in instance.objects("models")] == ["kept"]


def test_a_full_disk_refuses_writes_and_keeps_what_was_written(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "data", limit_file_bytes=600_000).start()
    try:
        written, refused = fill(instance, tmp_path)
        assert "cannot be written: the disk of" in refused
        assert sorted(model["metadata"]["name"] for model in instance.objects("models")) == written
        assert "Traceback" not in instance.log
    finally:
        instance.stop()
    roomy = Instance(tmp_path / "data").start()
    try:
        assert sorted(model["metadata"]["name"] for model in roomy.objects("models")) == written
    finally:
        roomy.stop()


def fill(instance: Instance, tmp_path: Path) -> tuple[list[str], str]:
    """Create large Models until one is refused; the names of those that were accepted, and the refusal."""
    written: list[str] = []
    for number in range(40):
        name = f"large-{number:02}"
        model = llama(name, tmp_path, files=[{"path": "/etc/large", "content": "x" * 90_000}])
        path = tmp_path / "large.json"
        path.write_text(json.dumps(model))
        said = instance.kubeai("apply", "-f", str(path), check=False)
        if "error" in said:
            return written, said
        written.append(name)
    raise AssertionError("the disk never became full")


def test_when_the_first_of_several_processes_is_killed_the_others_go_too(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "data", ("--workers", "2")).start()
    assert instance.process is not None
    children = Path(f"/proc/{instance.process.pid}/task/{instance.process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"kubeai.app.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    with urllib.request.urlopen(f"{instance.url}/v1/models") as answer:
        assert json.load(answer)["data"] == []
    instance.stop(signal.SIGKILL)
    instance.process = None
    instance.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers to end", 30)
    instance.start()  # the data directory is free again
    assert instance.stop() == 0
