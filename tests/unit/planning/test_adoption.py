"""Pods that others have made: which of them may stay under the new hash."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeai.api.k8s.objects import Pod
from kubeai.planning.actions import Create, Delete, Drain, Patch
from kubeai.planning.adoption import same_spec
from kubeai.planning.observed import Observed
from kubeai.planning.plan import plan_model
from kubeai.planning.pods.build import build_pod, hash_of
from tests.builders import NOW, model, pod, system

from .test_examples import CASES, SYSTEM, load, observed_with_loaded_cache

JSON = dict[str, Any]
FOREIGN = "5d4f8c7b6f"

#: As an API server stores it.
LIVE: JSON = yaml.safe_load("""
containers:
- name: server
  image: i:1
  args: [--a]
  imagePullPolicy: IfNotPresent
  readinessProbe:
    httpGet: {path: /health, port: http, scheme: HTTP}
    periodSeconds: 10
    timeoutSeconds: 2
    successThreshold: 1
    failureThreshold: 3
  resources: {limits: {cpu: 500m, nvidia.com/gpu: "1"}, requests: {cpu: 500m, nvidia.com/gpu: "1"}}
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
  volumeMounts:
  - {mountPath: /dev/shm, name: dshm}
  - {mountPath: /var/run/secrets/kubernetes.io/serviceaccount, name: kube-api-access-abcde, readOnly: true}
volumes:
- {name: dshm, emptyDir: {medium: Memory}}
- {name: model, image: {reference: "r/m:1", pullPolicy: IfNotPresent}}
- {name: kube-api-access-abcde, projected: {defaultMode: 420, sources: []}}
tolerations:
- {effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}
- {effect: NoExecute, key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 300}
dnsPolicy: ClusterFirst
enableServiceLinks: true
nodeName: n
preemptionPolicy: PreemptLowerPriority
priority: 0
restartPolicy: Always
schedulerName: default-scheduler
securityContext: {}
serviceAccount: models
serviceAccountName: models
terminationGracePeriodSeconds: 30
""")
WANTED: JSON = yaml.safe_load("""
containers:
- name: server
  image: i:1
  args: [--a]
  readinessProbe: {httpGet: {path: /health, port: http}, timeoutSeconds: 2}
  resources: {limits: {cpu: "0.5", nvidia.com/gpu: 1}}
  volumeMounts: [{mountPath: /dev/shm, name: dshm}]
volumes: [{name: dshm, emptyDir: {medium: Memory}}, {name: model, image: {reference: "r/m:1"}}]
restartPolicy: Always
serviceAccountName: models
""")


def changed(spec: JSON, change: Mapping[str, Any]) -> JSON:
    """`change` is PATH -> value; None takes the field away."""
    result = copy.deepcopy(spec)
    for path, value in change.items():
        *way, last = path.split(".")
        place: Any = result
        for step in way:
            place = place[int(step)] if step.isdecimal() else place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return result


def test_what_the_server_fills_in_is_no_difference() -> None:
    assert same_spec(WANTED, LIVE)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"containers.0.image": "i:2"}, id="another image"),
        pytest.param({"containers.0.args": ["--a", "--b"]}, id="one more argument"),
        pytest.param({"containers.0.args": None}, id="no arguments"),
        pytest.param({"containers.0.env": [{"name": "A", "value": "1"}]}, id="a variable that nobody wants now"),
        pytest.param({"containers.0.resources.limits": {"cpu": "1", "nvidia.com/gpu": "1"}}, id="another limit"),
        pytest.param({"containers.0.resources.requests": {"cpu": "1"}}, id="a request of its own"),
        pytest.param({"containers.0.readinessProbe.periodSeconds": 5}, id="a quicker probe"),
        pytest.param({"containers.0.securityContext": {"privileged": True}}, id="another security context"),
        pytest.param({"serviceAccountName": "other"}, id="another service account"),
        pytest.param({"nodeSelector": {"a": "b"}}, id="a node selector"),
        pytest.param({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, id="a toleration"),
        pytest.param({"terminationGracePeriodSeconds": 60}, id="another grace"),
        pytest.param({"volumes": []}, id="a volume less"),
        pytest.param({"hostNetwork": True}, id="a field that we know nothing about"),
    ],
)
def test_everything_else_is_a_difference(change: JSON) -> None:
    assert not same_spec(WANTED, changed(LIVE, change))


def foreign(of: Any, template: JSON, **fields: Any) -> Pod:
    metadata = {"labels": template["metadata"]["labels"] | {"pod-hash": FOREIGN}}
    metadata |= {"annotations": template["metadata"]["annotations"]} | fields
    owner = {"kind": "Model", "name": of.name, "uid": of.uid, "controller": True}
    return pod("theirs", of=of, metadata=metadata | {"ownerReferences": [owner]})


#: Recorded Pods that run as ours would.
ALIKE = [path for path in CASES if not any(word in path.stem for word in ("ollama", "infinity", "files", "adapters"))]


@pytest.mark.parametrize("path", ALIKE, ids=lambda path: str(path.stem))
def test_a_recorded_pod_of_the_existing_implementation_goes_on(path: Path) -> None:
    kind, gives = load(path)
    template = build_pod(kind, SYSTEM)
    theirs = foreign(kind, template)
    replicas = len(gives["Pods"])
    pods = (theirs, *(pod(f"ours-{i}", of=kind, hash=hash_of(template)) for i in range(replicas - 1)))
    observed = observed_with_loaded_cache(kind, pods)
    spec = gives["Pods"][0]["spec"]
    plan = plan_model(Observed(kind, pods, cache_claim=observed.cache_claim, specs={theirs.uid: spec}), SYSTEM, NOW)
    assert [a for a in plan.actions if isinstance(a, Create | Delete)] == []
    assert [(a.name, a.patch) for a in plan.actions if isinstance(a, Patch) and a.resource.kind == "Pod"] == [
        ("theirs", {"metadata": {"uid": theirs.uid, "labels": {"pod-hash": hash_of(template)}}})
    ]


def observed(specs: Mapping[str, JSON] | None, **fields: Any) -> Observed:
    kind = model(minReplicas=1, replicas=1)
    return Observed(kind, (foreign(kind, build_pod(kind, system()), **fields),), specs=specs)


def test_a_pod_is_read_before_it_is_replaced() -> None:
    plan = plan_model(observed({}), system(), NOW)
    assert ([each.name for each in plan.wants_specs], plan.actions) == (["theirs"], ())


def test_a_pod_that_runs_in_another_way_is_replaced() -> None:
    plan = plan_model(observed({"uid-of-theirs": {"containers": []}}), system(), NOW)
    assert plan.wants_specs == ()
    assert [a.name for a in plan.actions if isinstance(a, Drain)] == ["theirs"]


def test_a_pod_without_the_same_files_is_replaced() -> None:
    kind = model(minReplicas=1, replicas=1, files=[{"path": "/a", "content": "x"}])
    template = build_pod(kind, system())
    theirs = foreign(kind, template, annotations={"model-pod-port": "8000"})
    plan = plan_model(Observed(kind, (theirs,), specs={theirs.uid: template["spec"]}), system(), NOW)
    assert [a for a in plan.actions if isinstance(a, Patch) and a.resource.kind == "Pod"] == []
