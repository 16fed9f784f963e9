"""Verbs for objects, against the real embedded API server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeai.api.k8s.resources import CONFIG_MAPS, EVENTS, MODELS, PODS

from .conftest import CommandLine, LocalCluster

CONDITION = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def model(name: str = "m", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = {
        "apiVersion": "kubeai.org/v1",
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {"url": "hf://org/name", "engine": "VLLM", "features": ["TextGeneration"]} | spec,
    }
    return made | ({"status": status} if status else {})


def pod(name: str = "model-m-abc-x2x4q", of: str = "m", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"model": of}},
        "spec": {
            "initContainers": [{"name": "loader", "image": "i"}],
            "containers": [{"name": "server", "image": "i"}],
        },
        "status": {"phase": "Running"} | status,
    }


def running(**more: Any) -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {"name": "server", "ready": True, "restartCount": 0, "state": state, "image": "i", "imageID": ""} | more


def crashing() -> dict[str, Any]:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    return running(ready=False, restartCount=3, state=waiting)


def written(tmp_path: Path, *objects: dict[str, Any]) -> Path:
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return path


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_apply_says_what_became_of_each_object(kubeai: CommandLine, cluster: LocalCluster, tmp_path: Path) -> None:
    path = written(tmp_path, model("a"), model("b"))
    assert kubeai("apply", "-f", path).out == "model.kubeai.org/a created\nmodel.kubeai.org/b created\n"
    path = written(tmp_path, model("a"), model("b", minReplicas=1))
    assert kubeai("apply", "-f", path).out == "model.kubeai.org/a unchanged\nmodel.kubeai.org/b configured\n"


def test_apply_goes_on_after_a_refused_object_and_names_it(
    kubeai: CommandLine, cluster: LocalCluster, tmp_path: Path
) -> None:
    done = kubeai("apply", "-f", written(tmp_path, model("bad", engine="X"), model("good")))
    assert done.code == 1
    assert done.out == "model.kubeai.org/good created\n"
    assert "manifest.yaml: document 1 (Model bad): " in done.err
    assert "spec.engine" in done.err


def test_apply_goes_on_after_what_it_cannot_even_ask_for(
    kubeai: CommandLine, cluster: LocalCluster, tmp_path: Path
) -> None:
    foreign = {"apiVersion": "x.org/v1", "kind": "Y", "metadata": {"name": "y"}}
    nameless = model() | {"metadata": {"generateName": "m-"}}
    done = kubeai(
        "apply", "-f", written(tmp_path, model("bad", engine="X"), foreign, nameless, model("a/b"), model("good"))
    )
    assert (done.code, done.out) == (1, "model.kubeai.org/good created\n")
    for number, says in enumerate(["spec.engine", "has no kind 'Y'", "metadata.name is required", "'a/b' cannot be"]):
        assert f"document {number + 1} (" in done.err.splitlines()[number]
        assert says in done.err.splitlines()[number]


def test_apply_knows_other_kinds_and_those_it_does_not(
    kubeai: CommandLine, cluster: LocalCluster, tmp_path: Path
) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}}
    assert kubeai("apply", "-f", written(tmp_path, config)).out == "configmap/c created\n"
    assert cluster.get(CONFIG_MAPS, "c")["data"] == {"k": "v"}
    done = kubeai("apply", "-f", written(tmp_path, {"apiVersion": "x.org/v1", "kind": "Y", "metadata": {"name": "y"}}))
    assert "document 1 (Y y): the cluster has no kind 'Y' of apiVersion 'x.org/v1': is its CRD installed?" in done.err


def test_get_shows_models_by_name_as_a_table(kubeai: CommandLine, cluster: LocalCluster) -> None:
    ready = {"replicas": {"all": 1, "ready": 1}, "conditions": [CONDITION | {"reason": "Ready", "message": ""}]}
    cluster.put(MODELS, model("b", ready))
    cluster.put(MODELS, model("a", features=["TextGeneration", "TextEmbedding"]))
    table = rows(kubeai("get").out)
    assert table[0] == ["NAME", "ENGINE", "FEATURES", "READY", "STATUS", "AGE"]
    assert [row[:5] for row in table[1:]] == [
        ["a", "VLLM", "TextGeneration,TextEmbedding", "0/0", "Pending"],
        ["b", "VLLM", "TextGeneration", "1/1", "Ready"],
    ]


def test_get_wide_adds_columns(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model(maxReplicas=3))
    assert rows(kubeai("get", "-o", "wide").out)[1][-4:] == ["hf://org/name", "-", "-", "3"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["m"], id="a Model's name alone"),
        pytest.param(["models", "m"], id="type and name"),
        pytest.param(["model/m"], id="type slash name"),
        pytest.param(["mdl", "m"], id="the short name"),
    ],
)
def test_get_one_object_as_json_is_that_object(kubeai: CommandLine, cluster: LocalCluster, words: list[str]) -> None:
    cluster.put(MODELS, model())
    found = json.loads(kubeai("get", *words, "-o", "json").out)
    assert (found["kind"], found["metadata"]["name"]) == ("Model", "m")
    assert "managedFields" not in found["metadata"]


def test_get_many_as_json_or_yaml_is_a_list(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model("a"))
    cluster.put(MODELS, model("b"))
    for found in (json.loads(kubeai("get", "-o", "json").out), yaml.safe_load(kubeai("get", "-o", "yaml").out)):
        assert [item["metadata"]["name"] for item in found["items"]] == ["a", "b"]
    assert kubeai("get", "-o", "name").out == "model.kubeai.org/a\nmodel.kubeai.org/b\n"


def test_an_empty_list_is_said_to_people_and_given_to_programs(kubeai: CommandLine, cluster: LocalCluster) -> None:
    assert kubeai("get").err == "there are no models in namespace default\n"
    assert json.loads(kubeai("get", "pods", "-o", "json").out)["items"] == []


def test_get_pods_shows_states_as_kubectl_does(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(PODS, pod("p1", containerStatuses=[running()]))
    cluster.put(PODS, pod("p2", of="other", containerStatuses=[crashing()]))
    assert [row[:4] for row in rows(kubeai("get", "pods").out)] == [
        ["NAME", "READY", "STATUS", "RESTARTS"],
        ["p1", "1/1", "Running", "0"],
        ["p2", "0/1", "CrashLoopBackOff", "3"],
    ]
    assert kubeai("get", "pods", "-l", "model=other", "-o", "name").out == "pod/p2\n"


def test_get_asks_the_cluster_about_types_that_it_does_not_know(kubeai: CommandLine, cluster: LocalCluster) -> None:
    done = kubeai("get", "foos", "x")
    assert done.code == 1
    assert done.err.startswith("error: 'foos' is no type that the cluster has; often used are models, pods")


def test_an_object_that_is_not_there_is_named(kubeai: CommandLine, cluster: LocalCluster) -> None:
    for verb in ("get", "describe", "delete"):
        done = kubeai(verb, "nope")
        assert (done.code, "there is no Model named 'nope' in namespace default" in done.err) == (1, True)


def test_scale_sets_replicas_and_notes_the_bounds(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model(maxReplicas=2))
    done = kubeai("scale", "m", "--replicas", "3")
    assert done.out == "model.kubeai.org/m scaled to 3\n"
    assert done.err == "note: maxReplicas is 2, so there will be 2\n"
    assert cluster.get(MODELS, "m")["spec"]["replicas"] == 3


def test_delete_by_name_and_by_manifest(kubeai: CommandLine, cluster: LocalCluster, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        cluster.put(MODELS, model(name))
    assert kubeai("delete", "a").out == "model.kubeai.org/a deleted\n"
    assert kubeai("delete", "models", "b").out == "model.kubeai.org/b deleted\n"
    assert kubeai("delete", "-f", written(tmp_path, model("c"))).out == "model.kubeai.org/c deleted\n"
    assert kubeai("get", "-o", "name").out == ""


def test_delete_wants_to_know_what(kubeai: CommandLine) -> None:
    assert kubeai("delete").code == 2


def test_describe_tells_why_a_model_does_not_start(kubeai: CommandLine, cluster: LocalCluster) -> None:
    condition = CONDITION | {"reason": "CrashLoop", "message": "The server crashes.\nand its log"}
    cluster.put(MODELS, model(status={"replicas": {"all": 1, "ready": 0}, "conditions": [condition]}, replicas=1))
    cluster.put(PODS, pod(containerStatuses=[crashing()]))
    cluster.logs.texts["model-m-abc-x2x4q", "server", True] = b"".join(b"line %d\n" % i for i in range(99))
    about = {"kind": "Model", "name": "m", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "type": "Warning", "reason": "CrashLoop"}
    cluster.put(EVENTS, {"apiVersion": "v1", "kind": "Event", "message": "It\ncrashed.", **event})
    cluster.put(PODS, pod("other", of="other"))
    page = kubeai("describe", "m").out
    for part in (
        "Replicas:       0 ready, 1 running, 1 wanted",
        "The server crashes. ...\n",
        "model-m-abc-x2x4q   0/1     CrashLoopBackOff   3",
        "model-m-abc-x2x4q: server: back-off 10s",
        "Last lines of model-m-abc-x2x4q/server:\n  line 84\n",
        "line 98\n",
        "Warning   CrashLoop   model   It ...\n",
    ):
        assert part in page
    assert "other" not in page


def test_describe_tells_why_there_are_so_many_replicas(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model())
    about = {"involvedObject": {"kind": "Model", "name": "m", "namespace": "default"}, "reason": "Scaled"}
    for minute, message in ((2, "1 -> 8 replicas: a burst"), (1, "0 -> 1 replicas: a request")):
        time = datetime.now(UTC) - timedelta(minutes=9 - minute)
        times = {"lastTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ")}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"e{minute}"}, "message": message}
        cluster.put(EVENTS, event | about | times)
    assert " ago, 1 -> 8 replicas: a burst\n" in kubeai("describe", "m").out


def test_logs_of_a_model_are_its_servers(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(MODELS, model())
    cluster.put(PODS, pod("model-m-abc-one", containerStatuses=[running()]))
    cluster.logs.texts["model-m-abc-one", "server", False] = b"hello\nworld\n"
    assert kubeai("logs", "m").out == "hello\nworld\n"
    assert kubeai("logs", "m", "--tail", "1").out == "world\n"
    cluster.put(PODS, pod("model-m-abc-two", containerStatuses=[running()]))
    cluster.logs.texts["model-m-abc-two", "server", False] = b"hi"
    assert kubeai("logs", "m").out == "[one] hello\n[one] world\n[two] hi\n"


def test_before_the_server_starts_its_download_is_shown(kubeai: CommandLine, cluster: LocalCluster) -> None:
    waiting = running(ready=False, state={"waiting": {"reason": "PodInitializing"}})
    init = running(name="loader", ready=False)
    cluster.put(PODS, pod("p", phase="Pending", initContainerStatuses=[init], containerStatuses=[waiting]))
    cluster.logs.texts["p", "loader", False] = b"loading: 10%\n"
    assert kubeai("logs", "p").out == "loading: 10%\n"


def test_logs_of_the_last_run_and_of_a_named_container(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(PODS, pod("p", containerStatuses=[crashing()], initContainerStatuses=[running(name="loader")]))
    cluster.logs.texts["p", "server", True] = b"last words\n"
    cluster.logs.texts["p", "loader", False] = b"loaded\n"
    assert kubeai("logs", "p", "--previous").out == "last words\n"
    assert kubeai("logs", "pod/p", "-c", "loader").out == "loaded\n"
    assert "there is no container 'x'; there are loader, server" in kubeai("logs", "p", "-c", "x").err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("m", "Model m has no Pods now: it is at zero replicas", id="at zero"),
        pytest.param("x", "neither a Model nor a Pod named 'x'", id="unknown"),
        pytest.param("p", "no container of p has started yet", id="not started"),
    ],
)
def test_logs_that_are_not_there(kubeai: CommandLine, cluster: LocalCluster, name: str, says: str) -> None:
    cluster.put(MODELS, model())
    cluster.put(PODS, pod("p", of="other"))
    done = kubeai("logs", name)
    assert (done.code, says in done.err) == (1, True)


def test_following_a_pod_ends_with_its_deletion(kubeai: CommandLine, cluster: LocalCluster) -> None:
    cluster.put(PODS, pod("p", containerStatuses=[running()]))
    cluster.logs.texts["p", "server", False] = b"hello\n"
    cluster.logs.at_end = lambda: cluster.converse(lambda client: client.delete(PODS, "p", grace_period_s=0))
    assert kubeai("logs", "p", "-f").out == "hello\n"


@pytest.mark.parametrize(
    "words",
    [["get", "model/"], ["delete", ""], ["delete", "model/"], ["describe", "a/b"], ["logs", "pod/"]],
    ids=" ".join,
)
def test_what_can_be_no_name_is_said_and_nothing_is_deleted(
    kubeai: CommandLine, cluster: LocalCluster, words: list[str]
) -> None:
    cluster.put(MODELS, model())
    told = kubeai(*words)
    assert told.code == 1
    assert "cannot be the name of one of" in told.err
    assert "bug" not in told.err
    assert kubeai("get", "-o", "name").out == "model.kubeai.org/m\n"
