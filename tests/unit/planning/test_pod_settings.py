"""What a Model and its resource profile may say about its Pods, and what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.config.load import ConfigError
from kubeai.planning.errors import PlanningError
from kubeai.planning.pods.build import build_pod
from kubeai.planning.reasons import Reason
from tests.builders import model, system

JSON = dict[str, Any]

NO_PROFILE: JSON = {}
PROFILE: JSON = {
    "nodeSelector": {"gpu": "l4", "zone": "a"},
    "affinity": {"nodeAffinity": {}},
    "tolerations": [{"key": "gpu"}],
    "schedulerName": "theirs",
    "runtimeClassName": "nvidia",
    "sharedMemorySize": "1Gi",
    "terminationGracePeriodSeconds": 40,
    "probes": {"startup": {"periodSeconds": 5, "failureThreshold": 10}, "liveness": {"timeoutSeconds": 9}},
}


def built(own: JSON | None = None, profile: JSON = NO_PROFILE, **spec: Any) -> JSON:
    config = system(resourceProfiles={"gpu": {"limits": {"cpu": 1}} | profile})
    if own is not None:
        spec["pods"] = own
    return build_pod(model(resourceProfile="gpu:1", **spec), config)


def server(pod: JSON) -> JSON:
    found: JSON = pod["spec"]["containers"][0]
    return found


SCHEDULING: dict[str, tuple[JSON | None, JSON]] = {
    "the profile alone": (
        None,
        {
            "nodeSelector": {"gpu": "l4", "zone": "a"},
            "affinity": {"nodeAffinity": {}},
            "tolerations": [{"key": "gpu"}],
            "schedulerName": "theirs",
            "runtimeClassName": "nvidia",
            "terminationGracePeriodSeconds": 40,
        },
    ),
    "the Model's own beside it, and before it": (
        {
            "nodeSelector": {"zone": "b", "disk": "ssd"},
            "affinity": {"podAffinity": {}},
            "tolerations": [{"key": "gpu"}, {"key": "spot"}],
            "schedulerName": "ours",
            "runtimeClassName": "kata",
            "terminationGracePeriodSeconds": 0,
        },
        {
            "nodeSelector": {"gpu": "l4", "zone": "b", "disk": "ssd"},
            "affinity": {"podAffinity": {}},
            "tolerations": [{"key": "gpu"}, {"key": "spot"}],
            "schedulerName": "ours",
            "runtimeClassName": "kata",
            "terminationGracePeriodSeconds": 0,
        },
    ),
}


@pytest.mark.parametrize(("own", "expected"), SCHEDULING.values(), ids=SCHEDULING.keys())
def test_where_pods_run_is_said_by(own: JSON | None, expected: JSON) -> None:
    # fault O9
    spec = built(own, PROFILE)["spec"]
    rest = ("containers", "volumes", "restartPolicy")
    assert {key: value for key, value in spec.items() if key not in rest} == expected


def test_a_model_without_a_resource_profile_has_its_own_settings() -> None:
    pod = build_pod(model(pods={"nodeSelector": {"zone": "b"}, "sharedMemorySize": "8Gi"}), system())
    assert pod["spec"]["nodeSelector"] == {"zone": "b"}


SIZES: dict[str, tuple[JSON | None, JSON, JSON]] = {
    "nobody: the node decides": (None, NO_PROFILE, {"medium": "Memory"}),
    "the profile": (None, PROFILE, {"medium": "Memory", "sizeLimit": "1Gi"}),
    "the Model": ({"sharedMemorySize": "16Gi"}, PROFILE, {"medium": "Memory", "sizeLimit": "16Gi"}),
}


@pytest.mark.parametrize(("own", "profile", "expected"), SIZES.values(), ids=SIZES.keys())
def test_the_size_of_shared_memory_is_said_by(own: JSON | None, profile: JSON, expected: JSON) -> None:
    # fault O9
    (volume,) = built(own, profile)["spec"]["volumes"]
    assert volume == {"name": "dshm", "emptyDir": expected}


def test_probes_are_the_engines_then_the_profiles_then_the_models() -> None:
    # fault O9
    plain = server(built())
    tuned = server(built({"probes": {"startup": {"periodSeconds": 1, "initialDelaySeconds": 7}}}, PROFILE))
    assert tuned["startupProbe"] == plain["startupProbe"] | {
        "periodSeconds": 1,
        "failureThreshold": 10,
        "initialDelaySeconds": 7,
    }
    assert tuned["livenessProbe"] == plain["livenessProbe"] | {"timeoutSeconds": 9}
    assert tuned["readinessProbe"] == plain["readinessProbe"]


def test_probes_of_helpers_are_left_alone() -> None:
    own = {"probes": {"readiness": {"periodSeconds": 77}}}
    plain, tuned = (built(pods, engine="OLlama", url="ollama://m") for pods in (None, own))
    assert server(tuned)["readinessProbe"]["periodSeconds"] == 77
    assert tuned["spec"]["containers"][1] == plain["spec"]["containers"][1]


# Templates.

SIDECAR = {"name": "proxy", "image": "proxy:1"}


def template(spec: JSON | None = None, **metadata: JSON) -> JSON:
    return {"template": {"metadata": metadata} | ({"spec": spec} if spec else {})}


def test_a_template_adds_labels_and_annotations() -> None:
    pod = built(template(labels={"team": "x"}, annotations={"mesh": "off"}))
    assert pod["metadata"]["labels"].items() >= {"team": "x", "model": "m"}.items()
    assert pod["metadata"]["annotations"] == {"mesh": "off", "model-pod-port": "8000"}


def test_a_template_is_merged_by_names() -> None:
    spec = {
        "hostname": "h",
        "containers": [
            SIDECAR,
            {"name": "server", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "tty": True},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    plain, pod = built(env={"A": "1"})["spec"], built(template(spec), env={"A": "1"})["spec"]
    main, proxy = pod["containers"]
    assert (pod["hostname"], proxy) == ("h", SIDECAR)
    assert main["env"][:1] == [{"name": "A", "value": "2"}]
    assert {"name": "B", "value": "3"} in main["env"]
    assert main["tty"] is True
    assert main["args"] == plain["containers"][0]["args"]
    assert pod["volumes"] == [*plain["volumes"], {"name": "scratch", "emptyDir": {}}]


TAKEN_AWAY: dict[str, JSON] = {
    "a field with null": {"containers": [{"name": "server", "livenessProbe": None}]},
    "an item with a directive": {"volumes": [{"name": "dshm", "$patch": "delete"}]},
    "all of an object with a directive": {"nodeSelector": {"$patch": "replace", "only": "this"}},
}


@pytest.mark.parametrize("spec", TAKEN_AWAY.values(), ids=TAKEN_AWAY.keys())
def test_a_template_takes_away(spec: JSON) -> None:
    pod = built(template(spec) | {"nodeSelector": {"zone": "b"}})["spec"]
    text = str(pod)
    gone = {"containers": "livenessProbe", "volumes": "'emptyDir'", "nodeSelector": "zone"}[next(iter(spec))]
    assert gone not in text
    assert "$patch" not in text


def test_the_profiles_template_comes_first_then_the_models_then_the_systems_patches() -> None:
    profile = {"template": {"spec": {"hostname": "profile", "subdomain": "profile", "shareProcessNamespace": True}}}
    own = {"hostname": "own", "subdomain": "own"}
    patches = [{"op": "replace", "path": "/spec/subdomain", "value": "patch"}]
    config = system(resourceProfiles={"gpu": profile}, modelServerPods={"jsonPatches": patches})
    spec = build_pod(model(resourceProfile="gpu:1", pods=template(own)), config)["spec"]
    assert [spec[key] for key in ("hostname", "subdomain", "shareProcessNamespace")] == ["own", "patch", True]


POWERS: dict[str, tuple[JSON, str]] = {
    "the node's network": ({"hostNetwork": True}, "spec.hostNetwork"),
    "the node's processes": ({"hostPID": True}, "spec.hostPID"),
    "another identity": ({"serviceAccountName": "admin"}, "spec.serviceAccountName"),
    "a node of its choice": ({"nodeName": "n"}, "spec.nodeName"),
    "the Pod's security context": ({"securityContext": {}}, "spec.securityContext"),
    "a container's privileges": (
        {"containers": [{"name": "server", "securityContext": {"privileged": True}}]},
        "spec.containers[0].securityContext",
    ),
    "an init container's privileges": (
        {"initContainers": [{"name": "x", "securityContext": {}}]},
        "spec.initContainers[0].securityContext",
    ),
    "the node's files": ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "spec.volumes[0].hostPath"),
    "another cluster's files": ({"volumes": [{"name": "v", "cephfs": {"monitors": []}}]}, "spec.volumes[0].cephfs"),
    "tokens of the service account": (
        {"volumes": [{"name": "v", "projected": {"sources": []}}]},
        "spec.volumes[0].projected",
    ),
    "a port of the node": (
        {"containers": [SIDECAR, {"name": "server", "ports": [{"containerPort": 8000, "hostPort": 80}]}]},
        "spec.containers[1].ports[0].hostPort",
    ),
    "all that the Pod was": (
        {"$patch": "replace", "containers": [{"name": "server", "image": "x"}]},
        "spec.$patch",
    ),
    "all that the server was": (
        {"containers": [{"name": "server", "$patch": "replace", "image": "x"}]},
        "spec.containers[0].$patch",
    ),
    "the server, to begin it anew": (
        {"containers": [{"name": "server", "$patch": "delete"}, {"name": "server", "image": "x"}]},
        "spec.containers[0].$patch",
    ),
}


@pytest.mark.parametrize(("spec", "place"), POWERS.values(), ids=POWERS.keys())
def test_a_models_template_gives_its_pods_no_power_over(spec: JSON, place: str) -> None:
    with pytest.raises(PlanningError) as raised:
        built(template(spec))
    assert raised.value.reason == Reason.INVALID_POD_TEMPLATE
    assert raised.value.message.startswith(f"spec.pods.template: {place} may only be set in the system configuration")


@pytest.mark.parametrize(("spec", "place"), POWERS.values(), ids=POWERS.keys())
def test_a_profiles_template_may(spec: JSON, place: str) -> None:
    built(profile=template(spec))


def test_a_models_template_does_not_choose_a_profile_of_apparmor() -> None:
    annotation = "container.apparmor.security.beta.kubernetes.io/server"
    with pytest.raises(PlanningError, match=r"resourceProfiles\.NAME\.template"):
        built(template(annotations={annotation: "unconfined"}))
    built(profile=template(annotations={annotation: "unconfined"}))


HARMLESS: tuple[JSON, ...] = (
    {"emptyDir": {}},
    {"configMap": {"name": "c"}},
    {"secret": {"secretName": "s"}},
    {"persistentVolumeClaim": {"claimName": "c"}},
    {"downwardAPI": {"items": []}},
    {"ephemeral": {"volumeClaimTemplate": {}}},
    {"image": {"reference": "x"}},
)


@pytest.mark.parametrize("volume", HARMLESS, ids=[next(iter(volume)) for volume in HARMLESS])
def test_a_models_template_may_add_a_volume_of_kind(volume: JSON) -> None:
    assert built(template({"volumes": [{"name": "v", **volume}]}))["spec"]["volumes"][-1] == {"name": "v", **volume}


def test_containers_of_a_models_template_have_the_security_context_of_ours() -> None:
    secure = {"runAsNonRoot": True}
    helper, setup = {"name": "helper", "image": "h"}, {"name": "setup", "image": "s"}
    config = system(
        resourceProfiles={"gpu": {"template": {"spec": {"containers": [SIDECAR]}}}},
        modelServerPods={"securityContext": secure},
    )
    own = template({"containers": [{"name": "server", "tty": True}, helper], "initContainers": [setup]})
    spec = build_pod(model(resourceProfile="gpu:1", pods=own), config)["spec"]
    main, theirs, added = spec["containers"]
    assert (main["tty"], main["securityContext"]) == (True, secure)
    # Its author decides about the cluster.
    assert theirs == SIDECAR
    assert added == helper | {"securityContext": secure}
    assert spec["initContainers"] == [setup | {"securityContext": secure}]


MISFITS: dict[str, tuple[JSON, str]] = {
    "a label of ours": (template(labels={"model": "other"}), "metadata.labels: 'model' is KubeAI's own"),
    "an adapter's label": (
        template(labels={"adapter.kubeai.org/x": "1"}),
        "metadata.labels: 'adapter.kubeai.org/x' is KubeAI's own",
    ),
    "the mark of a Pod that drains": (
        template(annotations={"kubeai.org/draining-since": "now"}),
        "metadata.annotations: 'kubeai.org/draining-since' is KubeAI's own",
    ),
    "the restart policy": (template({"restartPolicy": "Never"}), "spec.restartPolicy cannot be changed"),
    "a container without a name": (template({"containers": [{"image": "x"}]}), "spec.containers[0] needs a name"),
    "a container that is none": (template({"containers": ["x"]}), "spec.containers[0] needs a name"),
    "containers that are no list": (template({"containers": {}}), "spec.containers must keep the container 'server'"),
    "a directive that nobody knows": (
        template({"nodeSelector": {"$patch": "merge"}}),
        "spec.nodeSelector: $patch: merge is known for items of lists only, as delete",
    ),
}


@pytest.mark.parametrize(("own", "fault"), MISFITS.values(), ids=MISFITS.keys())
@pytest.mark.parametrize("whose", ["the Model's", "the profile's"])
def test_a_template_that_does_not_fit_is_named(own: JSON, fault: str, whose: str) -> None:
    with pytest.raises(PlanningError) as raised:
        built(own) if whose == "the Model's" else built(profile=own)
    place = "spec.pods.template" if whose == "the Model's" else "resourceProfiles.gpu.template of the system"
    assert raised.value.reason == Reason.INVALID_POD_TEMPLATE
    assert raised.value.message.startswith(place)
    assert raised.value.message.endswith(f": {fault}.")


def test_a_profiles_template_must_keep_the_server() -> None:
    with pytest.raises(PlanningError, match="must keep the container 'server'"):
        built(profile=template({"containers": [{"name": "server", "$patch": "delete"}]}))


@pytest.mark.parametrize(
    ("profile", "key"),
    [
        ({"probes": {"startup": {"period": 1}}}, "probes.startup.period: unknown key"),
        ({"probes": {"liveness": {"periodSeconds": 0}}}, "probes.liveness.periodSeconds: must be greater than"),
        ({"sharedMemorySize": "much"}, "sharedMemorySize: 'much' is not a quantity"),
        ({"template": {"sepc": {}}}, "template.sepc: unknown key; did you mean spec?"),
    ],
)
def test_a_profiles_settings_are_read_strictly(profile: JSON, key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        built(profile=profile)
    assert f"resourceProfiles.gpu.{key}" in str(raised.value)
