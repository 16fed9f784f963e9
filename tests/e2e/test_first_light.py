"""The main job on real input: SmolLM2 from zero and back, through `kubeai up`, as its user sees it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from .conftest import ROOT, Instance

QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """`kubeai up` as `make up` calls it: engine and weights are there when it is ready, the model is at zero."""
    root = tmp_path_factory.mktemp("first-light")
    instance = Instance(root / "data", ("--model", str(ROOT / "examples/smollm2.yaml")))
    try:
        yield instance.start()
    finally:
        if instance.process is not None and instance.process.poll() is None:
            instance.stop()


@pytest.fixture
def client(smollm2: Instance) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{smollm2.url}/openai/v1", api_key="none", timeout=100, max_retries=0) as client:
        yield client


def to_zero(instance: Instance) -> None:
    """Stop the server now. While the average of the last requests is above zero the autoscaler starts it again."""

    def stopped() -> bool:
        instance.kubeai("scale", "smollm2", "--replicas", "0")
        return not instance.objects("pods")

    instance.wait_for(stopped, "the server to stop")


def answer(client: openai.OpenAI) -> str:
    stream = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        max_tokens=30,
        stream=True,
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(pieces) > 2, "the answer came in one piece: it was not streamed"
    return "".join(pieces)


def test_a_model_at_zero_answers_a_question_and_then_again(smollm2: Instance, client: openai.OpenAI) -> None:
    to_zero(smollm2)
    assert "Paris" in answer(client)
    (pod,) = smollm2.objects("pods")
    assert "Paris" in answer(client)
    (same,) = smollm2.objects("pods")
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    (model,) = smollm2.objects("models")
    assert model["status"]["replicas"] == {"all": 1, "ready": 1}
    assert ("Ready", "True") in [(c["type"], c["status"]) for c in model["status"]["conditions"]]


def test_an_idle_model_returns_to_zero_and_its_process_ends(smollm2: Instance) -> None:
    manifest = yaml.safe_load((ROOT / "examples/smollm2.yaml").read_text())
    manifest["metadata"]["name"] = "brief"
    manifest["spec"] |= {"scaleDownDelaySeconds": 4}
    smollm2.apply(manifest)
    smollm2.kubeai("chat", "brief", "Say hi.", "--max-tokens", "5")

    def pods() -> list[str]:
        return [name for pod in smollm2.objects("pods") if "brief" in (name := pod["metadata"]["name"])]

    assert len(pods()) == 1
    # 20 s until no request is in the average any more, then the Model's own delay.
    smollm2.wait_for(lambda: not pods(), "the idle model's server to stop", 100)
    smollm2.kubeai("delete", "brief")


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["smollm2"]


def test_the_command_line_chats(smollm2: Instance) -> None:
    assert "Paris" in smollm2.kubeai("chat", "smollm2", QUESTION)


def test_an_unknown_model_is_the_clients_own_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "hi"}])


def test_a_route_that_the_model_does_not_serve_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="TextGeneration"):
        client.embeddings.create(model="smollm2", input="hi")


def test_two_requests_that_meet_a_model_at_zero_start_one_server(smollm2: Instance, client: openai.OpenAI) -> None:
    to_zero(smollm2)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: answer(client), range(2)))
    assert all("Paris" in text for text in answers)
    assert len(smollm2.objects("pods")) == 1


LEAVES = {
    "a rollout": lambda instance, manifest: instance.apply(
        manifest | {"spec": manifest["spec"] | {"env": {"EDITED": "yes"}}}
    ),
    "a scale-down": lambda instance, manifest: instance.kubeai("scale", "leaving", "--replicas", "0"),
}


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES.keys())
def test_a_stream_survives(
    smollm2: Instance, client: openai.OpenAI, leave: Callable[[Instance, dict[str, Any]], object]
) -> None:
    # fault P3
    manifest = yaml.safe_load((ROOT / "examples/smollm2.yaml").read_text())
    manifest["metadata"]["name"] = "leaving"
    # Only this test scales it.
    manifest["spec"] |= {"autoscalingDisabled": True, "replicas": 1}
    smollm2.apply(manifest)

    def pods() -> dict[str, dict[str, Any]]:
        return {pod["metadata"]["uid"]: pod for pod in smollm2.objects("pods") if "leaving" in pod["metadata"]["name"]}

    ((old, pod),) = smollm2.wait_for(pods, "the Pod to be made").items()
    stream = client.chat.completions.create(
        model="leaving",
        messages=[{"role": "user", "content": "Tell me a long story."}],
        max_tokens=500,  # they have to last for longer than what follows takes
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(iter(stream))
    leave(smollm2, manifest)
    last = [chunk for chunk in stream if chunk.choices][-1]
    ended = datetime.now(UTC)
    assert last.choices[0].finish_reason == "length"
    smollm2.wait_for(lambda: old not in pods(), "the Pod to go")
    told = [event for event in smollm2.objects("events") if event["reason"] == "PodsDraining"]
    (mark,) = [event for event in told if pod["metadata"]["name"] in event["message"]]
    assert datetime.fromisoformat(mark["firstTimestamp"]) < ended, "the answer was over before the Pod was to go"
    smollm2.kubeai("delete", "leaving")
    smollm2.wait_for(lambda: not pods(), "all of it to go")


def test_the_log_has_no_traceback(smollm2: Instance) -> None:
    assert "Traceback" not in smollm2.log


def test_sigterm_cuts_no_stream(smollm2: Instance, client: openai.OpenAI) -> None:
    # fault P4
    stream = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Count to fifty."}],
        max_tokens=120,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(stream)
    assert smollm2.process is not None
    smollm2.process.send_signal(signal.SIGTERM)
    reasons = [chunk.choices[0].finish_reason for chunk in stream if chunk.choices]
    assert len(reasons) > 10, "the stream was over before the signal could do harm"
    assert reasons[-1] == "length"
    assert smollm2.process.wait(60) == 0
    smollm2.start()


def test_the_same_answer_comes_after_a_restart(smollm2: Instance) -> None:
    assert smollm2.stop() == 0
    smollm2.start()
    with openai.OpenAI(base_url=f"{smollm2.url}/v1", api_key="none", timeout=100) as client:
        assert "Paris" in answer(client)


def test_weights_are_fetched_once(smollm2: Instance) -> None:
    files = list(Path(smollm2.data_dir, "cache").rglob("*.gguf"))
    assert len(files) == 1
