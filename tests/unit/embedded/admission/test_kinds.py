"""The built-in kinds' own defaults and rules, through the whole admission."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kubeai.api.k8s.resources import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from kubeai.embedded.admission.pipeline import admit
from kubeai.embedded.builtin import builtin_catalog
from kubeai.embedded.status import StatusError
from tests.builders import job_manifest, pod_manifest

CATALOG = builtin_catalog()


def _admitted(resource: Resource, obj: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    kind = CATALOG.find(resource.group, resource.version, resource.plural)
    assert kind is not None
    obj = deepcopy(obj)
    obj["metadata"] |= {"uid": "the-uid", "namespace": "default"}
    admit(kind, obj, old, "Strict")
    return obj


def _container(**more: Any) -> dict[str, Any]:
    return {"name": "server", "image": "local/echo"} | more


def _pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return pod_manifest(containers=list(containers) or [_container()], **spec)


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a", "Always"), ("a:latest", "Always"), ("host:5000/a", "Always"), ("a:1", "IfNotPresent")],
)
def test_a_moving_image_is_pulled_always(image: str, policy: str) -> None:
    spec = _admitted(PODS, _pod(_container(image=image)))["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": 1}}, "Burstable"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}}, "Guaranteed"),
        ({"requests": {"cpu": "500m"}, "limits": {"cpu": 1, "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_what_a_pod_asks_for_decides_its_class(resources: dict[str, Any], qos: str) -> None:
    assert _admitted(PODS, _pod(_container(resources=resources)))["status"]["qosClass"] == qos


def test_limits_are_requests_too() -> None:
    resources = {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": 1}}
    spec = _admitted(PODS, _pod(_container(resources=resources)))["spec"]
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": 1, "memory": "1Gi"}


def test_volumes_and_ports_get_their_defaults() -> None:
    volumes = [{"name": "a"}, {"name": "b", "configMap": {"name": "x"}}, {"name": "c", "hostPath": {"path": "/x"}}]
    spec = _admitted(PODS, _pod(_container(ports=[{"containerPort": 80}]), volumes=volumes))["spec"]
    assert spec["volumes"][0] == {"name": "a", "emptyDir": {}}
    assert spec["volumes"][1]["configMap"]["defaultMode"] == 0o644
    assert spec["volumes"][2]["hostPath"]["type"] == ""
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


SELECTOR = {"matchLabels": {"x": "y"}}
CLAIM = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


@pytest.mark.parametrize(
    ("resource", "obj", "words"),
    [
        pytest.param(PODS, _pod(_container(name="")), "containers[0].name", id="a container without a name"),
        pytest.param(PODS, _pod(_container(name="A")), "containers[0].name", id="a container's bad name"),
        pytest.param(
            PODS, _pod(_container(), _container()), 'Duplicate value: {"name": "server"}', id="two containers of a name"
        ),
        pytest.param(PODS, _pod({"name": "server"}), "containers[0].image", id="a container without an image"),
        pytest.param(PODS, _pod(restartPolicy="Sometimes"), "restartPolicy", id="an unknown restart policy"),
        pytest.param(PODS, _pod(terminationGracePeriodSeconds=-1), "GracePeriodSeconds", id="a negative grace"),
        pytest.param(
            PODS,
            _pod(_container(volumeMounts=[{"name": "v", "mountPath": "/v"}])),
            'Not found: "v"',
            id="a mount of no volume",
        ),
        pytest.param(PODS, _pod(_container(ports=[{"containerPort": 0}])), "between 1 and 65535", id="port 0"),
        pytest.param(
            PODS, _pod(_container(resources={"limits": {"cpu": "much"}})), "limits[cpu]", id="an amount that is none"
        ),
        pytest.param(JOBS, job_manifest(restart="Always"), "restartPolicy", id="a Job that restarts for ever"),
        pytest.param(JOBS, job_manifest(parallelism=-1), "spec.parallelism", id="a negative parallelism"),
        pytest.param(JOBS, job_manifest(completionMode="Indexed"), "completionMode", id="an indexed Job"),
        pytest.param(
            JOBS, job_manifest(manualSelector=True), "spec.selector", id="a Job's own selector that is missing"
        ),
        pytest.param(
            SECRETS, {"metadata": {"name": "s"}, "data": {"k": "not base64!"}}, "data[k]", id="a secret not in base64"
        ),
        pytest.param(PERSISTENT_VOLUME_CLAIMS, CLAIM, "storage", id="a claim of no size"),
        pytest.param(
            EVENTS,
            {"metadata": {"name": "e"}, "involvedObject": {"namespace": "other"}},
            "involvedObject.namespace",
            id="an event of another namespace",
        ),
    ],
)
def test_a_mistake_is_refused(resource: Resource, obj: dict[str, Any], words: str) -> None:
    with pytest.raises(StatusError) as refusal:
        _admitted(resource, obj)
    assert refusal.value.code == 422
    assert words in refusal.value.message


def test_what_cannot_be_read_is_no_object_of_the_kind() -> None:
    with pytest.raises(
        StatusError, match=r'Pod in version "v1" cannot be handled as a Pod: spec.containers'
    ) as refusal:
        _admitted(PODS, pod_manifest(containers="many"))
    assert refusal.value.code == 400


def test_an_unknown_field_is_refused_when_asked() -> None:
    with pytest.raises(StatusError, match=r'unknown field "spec.containers\[0\].imag"'):
        _admitted(PODS, _pod(_container(imag="x")))


def test_a_job_is_tied_to_its_pods() -> None:
    job = _admitted(JOBS, job_manifest("work"))
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "work"
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "the-uid"}}
    assert (job["spec"]["backoffLimit"], job["spec"]["completions"], job["spec"]["parallelism"]) == (6, 1, 1)


def test_a_job_may_change_how_much_but_not_what() -> None:
    old = _admitted(JOBS, job_manifest())
    changed = deepcopy(old)
    changed["spec"]["parallelism"] = 3
    _admitted(JOBS, changed, old)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    with pytest.raises(StatusError, match="field is immutable"):
        _admitted(JOBS, changed, old)


@pytest.mark.parametrize("field", ["nodeName", "tolerations", "activeDeadlineSeconds"])
def test_a_pod_may_still_be_placed_and_tuned(field: str) -> None:
    old = _admitted(PODS, _pod())
    value: Any = {"nodeName": "here", "tolerations": [{"operator": "Exists"}]}.get(field, 5)
    _admitted(PODS, old | {"spec": old["spec"] | {field: value}}, old)


def test_a_pod_never_moves() -> None:
    old = _admitted(PODS, _pod(nodeName="here"))
    with pytest.raises(StatusError, match="pod updates may not change fields"):
        _admitted(PODS, old | {"spec": old["spec"] | {"nodeName": "there"}}, old)


def test_a_claim_is_bound_at_once() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = _admitted(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
    assert (claim["status"]["phase"], claim["status"]["capacity"]) == ("Bound", {"storage": "1Gi"})


def test_a_service_says_that_nothing_routes_it() -> None:
    service = _admitted(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


def test_the_type_of_a_secret_is_fixed() -> None:
    old = _admitted(SECRETS, {"metadata": {"name": "s"}})
    with pytest.raises(StatusError, match="field is immutable"):
        _admitted(SECRETS, old | {"type": "other"}, old)


def test_a_config_map_needs_no_more_than_a_name() -> None:
    assert _admitted(CONFIG_MAPS, {"metadata": {"name": "c"}})["metadata"]["name"] == "c"
