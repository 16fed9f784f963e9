"""What the chart installs: that its parts fit each other, and what each group of values does."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest

from kubeai.api.k8s.duration import parse_duration
from kubeai.api.k8s.names import dns_subdomain_fault, label_key_fault, label_value_fault
from kubeai.app.wiring import COMPONENT, NAME_LABEL

from .helm import KUBEAI, MODELS, Rendered, helm, render

pytestmark = pytest.mark.charts

JSON = dict[str, Any]

EVERYTHING: JSON = {
    "autoscaling": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "tls": [{"secretName": "tls"}]},
    "metrics": {
        "prometheusOperator": {"serviceMonitor": {"enabled": True}, "vLLMPodMonitor": {"enabled": True}},
        "grafanaDashboard": {"enabled": True},
    },
    "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
    "open-webui": {
        "enabled": True,
        "persistence": {"enabled": True},
        "ingress": {"enabled": True, "tls": True, "existingSecret": "tls"},
    },
    "openshift": {"securityContextConstraints": "always"},
    "podDisruptionBudget": {"enabled": True},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
}
#: Deployments beside the one that serves requests.
OTHERS = ("open-webui", "kubeai-operator")
#: The NetworkPolicies of KubeAI's own Pods, with a separate operator.
OWN_POLICIES = ("kubeai", "kubeai-operator")
SETS: dict[str, JSON] = {
    "defaults": {},
    "everything": EVERYTHING,
    "another name": {"fullnameOverride": "ai", "nameOverride": "other"},
    "the release's name": {"fullnameOverride": "", "nameOverride": ""},
    "a separate operator, and more namespaces": {
        "operator": {"separate": True},
        "watchNamespaces": ["team-a", "team-b"],
        "networkPolicy": {"enabled": True},
    },
    "nothing that can be left out": {
        "crds": {"enabled": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "own"},
        "modelServiceAccount": {"create": False, "name": "own-models"},
        "secrets": {source: {"create": False} for source in ("alibaba", "aws", "gcp", "huggingface")},
        "podSecurityContext": None,
        "lifecycle": None,
        "strategy": None,
    },
}


@pytest.fixture(params=list(SETS), ids=list(SETS))
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(KUBEAI, values=SETS[request.param])


@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_helm_finds_nothing_to_blame(values: JSON) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", KUBEAI, values=values)


def test_helm_finds_nothing_to_blame_in_the_catalogue() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", MODELS, values={"all": {"enabled": True}})


def test_every_object_is_named_and_labelled_and_in_the_namespace(rendered: Rendered) -> None:
    seen = set()
    for obj in rendered.objects:
        metadata = obj["metadata"]
        assert dns_subdomain_fault(metadata["name"]) is None
        clustered = obj["kind"] in ("CustomResourceDefinition", "SecurityContextConstraints")
        watched = obj["kind"] in ("Role", "RoleBinding", "ServiceAccount", "NetworkPolicy")
        assert clustered or metadata["namespace"] == "ns" or (watched and metadata["namespace"] in ("team-a", "team-b"))
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        faults = [label_key_fault(k) or label_value_fault(v) for k, v in metadata["labels"].items()]
        assert faults == [None] * len(faults)
        seen.add((obj["kind"], metadata["name"], metadata.get("namespace")))
    assert len(seen) == len(rendered.objects)


def selectors(rendered: Rendered) -> Iterator[JSON]:
    """Of everything that chooses KubeAI's own Pods."""
    (deployment,) = (d for d in rendered.of("Deployment") if d["metadata"]["name"] not in OTHERS)
    yield deployment["spec"]["selector"]["matchLabels"]
    yield from (s["spec"]["selector"] for s in rendered.of("Service") if s["metadata"]["name"] not in OTHERS)
    yield from (budget["spec"]["selector"]["matchLabels"] for budget in rendered.of("PodDisruptionBudget"))
    yield from (
        c["labelSelector"]["matchLabels"] for c in template(rendered)["spec"].get("topologySpreadConstraints", ())
    )


def template(rendered: Rendered) -> JSON:
    (found,) = [d["spec"]["template"] for d in rendered.of("Deployment") if d["metadata"]["name"] not in OTHERS]
    return dict(found)


def test_every_selector_finds_kubeais_pods_and_no_others(rendered: Rendered) -> None:
    labels = template(rendered)["metadata"]["labels"]
    found = list(selectors(rendered))
    assert len(found) >= 2
    assert all(selector.items() <= labels.items() for selector in found)
    for deployment in rendered.of("Deployment"):
        if deployment["metadata"]["name"] in OTHERS:
            assert not found[0].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_autoscaler_finds_the_pods(rendered: Rendered) -> None:
    assert template(rendered)["metadata"]["labels"][NAME_LABEL] == COMPONENT


def test_references_lead_to_what_is_there(rendered: Rendered) -> None:
    spec = template(rendered)["spec"]
    config_maps = {obj["metadata"]["name"] for obj in rendered.of("ConfigMap")}
    assert {v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v} <= config_maps
    accounts = {obj["metadata"]["name"] for obj in rendered.of("ServiceAccount")} | {"own", "own-models"}
    assert spec["serviceAccountName"] in accounts
    users = {d["spec"]["template"]["spec"].get("serviceAccountName") for d in rendered.of("Deployment")}
    for binding in rendered.of("RoleBinding"):
        assert {subject["name"] for subject in binding["subjects"]} <= users
        assert binding["roleRef"]["name"] in {role["metadata"]["name"] for role in rendered.of("Role")}
    services = {s["metadata"]["name"]: {p["name"] for p in s["spec"]["ports"]} for s in rendered.of("Service")}
    for ingress in rendered.of("Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in services[backend["name"]]


def test_ports_are_those_that_the_program_and_its_configuration_have() -> None:
    rendered = render(KUBEAI)
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    system = rendered.system
    assert ports == {"http": 8000, "metrics": int(system.metrics_addr[1:]), "health": int(system.health_address[1:])}
    probes = [rendered.container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert [(probe["path"], probe["port"]) for probe in probes] == [
        ("/healthz", "health"),
        ("/healthz", "health"),
        ("/readyz", "health"),
    ]
    targets = {port["port"]: port["targetPort"] for port in rendered.one("Service")["spec"]["ports"]}
    assert targets == {80: "http", 8080: "metrics"}


def test_the_container_is_told_where_its_configuration_and_its_namespace_are() -> None:
    container = render(KUBEAI).container
    env = {item["name"]: item for item in container["env"]}
    (config,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "config"]
    assert env["CONFIG_PATH"]["value"] == f"{config}/system.yaml"
    assert env["POD_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
    assert container["command"] == ["kubeai", "manager"]


def test_it_runs_with_as_little_as_can_be() -> None:
    rendered = render(KUBEAI)
    assert rendered.pod["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert rendered.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {"name": "tmp", "mountPath": "/tmp"} in rendered.container["volumeMounts"]
    assert [obj["kind"] for obj in rendered.objects if obj["kind"].startswith("Cluster")] == []


# fault P4
def test_a_pod_has_time_to_finish_its_requests() -> None:
    rendered = render(KUBEAI)
    pause_s = float(rendered.container["lifecycle"]["preStop"]["exec"]["command"][-1])
    grace_s = rendered.pod["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= pause_s + rendered.system.gateway.drain_timeout_s + parse_duration("10s")
    assert rendered.one("Deployment")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_another_configuration_means_other_pods() -> None:
    def checksum(values: JSON) -> str:
        return str(render(KUBEAI, values=values).pod["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) == checksum({"service": {"port": 81}})
    assert checksum({}) != checksum({"modelRollouts": {"surge": 2}})


def test_a_secret_holds_only_what_was_given() -> None:
    given = {
        "huggingface": {"token": "hf_x"},
        "aws": {"accessKeyID": "a"},
        "gcp": {"create": False, "jsonKeyfile": "{}"},
    }
    rendered = render(KUBEAI, values={"secrets": given})
    secrets = {s["metadata"]["name"]: s.get("data", {}) for s in rendered.of("Secret")}
    decoded = {name: {key: b64decode(text).decode() for key, text in data.items()} for name, data in secrets.items()}
    assert decoded == {
        "kubeai-alibaba": {},
        "kubeai-aws": {"accessKeyID": "a"},
        "kubeai-huggingface": {"token": "hf_x"},
    }


def test_the_autoscalers_state_is_not_the_charts_to_change() -> None:
    assert "data" not in render(KUBEAI).one("ConfigMap", "kubeai-autoscaler-state")


def test_the_crd_and_with_it_all_models_outlive_the_release() -> None:
    crd = render(KUBEAI).one("CustomResourceDefinition", "models.kubeai.org")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    loose = render(KUBEAI, values={"crds": {"keep": False}}).one("CustomResourceDefinition", "models.kubeai.org")
    assert "helm.sh/resource-policy" not in loose["metadata"].get("annotations", {})
    assert render(KUBEAI, values={"crds": {"enabled": False}}).of("CustomResourceDefinition") == []


def test_replicas_are_the_autoscalers_where_there_is_one() -> None:
    assert render(KUBEAI, values={"replicaCount": 0}).one("Deployment")["spec"]["replicas"] == 0
    rendered = render(KUBEAI, values={"autoscaling": {"enabled": True}})
    assert "replicas" not in rendered.one("Deployment")["spec"]
    assert rendered.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "kubeai"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"minAvailable": 1}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
    ],
    ids=["one stays", "half of them stay", "none may go"],
)
def test_a_disruption_budget_has_one_bound(values: JSON, expected: JSON) -> None:
    budget = render(KUBEAI, values={"podDisruptionBudget": {"enabled": True} | values}).one("PodDisruptionBudget")
    bounds = {key: value for key, value in budget["spec"].items() if key in ("minAvailable", "maxUnavailable")}
    assert bounds == expected


def test_the_network_lets_requests_in_and_metrics_to_kubeai_itself() -> None:
    policy = render(KUBEAI, values={"networkPolicy": {"enabled": True}}).one("NetworkPolicy")
    sources = {rule["ports"][0]["port"]: rule.get("from", "everybody") for rule in policy["spec"]["ingress"]}
    own = policy["spec"]["podSelector"]
    assert sources == {"http": "everybody", "metrics": [{"podSelector": own}], "health": "everybody"}


def test_a_separate_operator_takes_nothing_but_who_asks_how_it_is() -> None:
    monitoring: JSON = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    network: JSON = {"enabled": True, "from": [{"podSelector": {}}], "metricsFrom": [monitoring]}
    rendered = render(KUBEAI, values={"networkPolicy": network, "operator": {"separate": True}})
    policy = rendered.one("NetworkPolicy", "kubeai-operator")["spec"]
    deployment = rendered.one("Deployment", "kubeai-operator")["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= deployment["metadata"]["labels"].items()
    peers = [{"podSelector": rendered.one("NetworkPolicy", name)["spec"]["podSelector"]} for name in OWN_POLICIES]
    assert policy["ingress"] == [
        {"ports": [{"port": "metrics"}], "from": [*peers, monitoring]},
        {"ports": [{"port": "health"}]},
    ]
    served = {port["name"] for port in deployment["spec"]["containers"][0]["ports"]}
    assert served == {rule["ports"][0]["port"] for rule in policy["ingress"]}


def test_model_servers_answer_kubeai_only() -> None:
    rendered = render(KUBEAI, values={"networkPolicy": {"enabled": True, "metricsFrom": [{"podSelector": {}}]}})
    policy = rendered.one("NetworkPolicy", "kubeai-models")
    own = rendered.one("NetworkPolicy")["spec"]["podSelector"]
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": own}, {"podSelector": {}}]}]
    without = render(KUBEAI, values={"networkPolicy": {"enabled": True, "modelServers": False}})
    assert len(without.of("NetworkPolicy")) == 1


def test_openshift_is_noticed() -> None:
    assert render(KUBEAI).of("SecurityContextConstraints") == []
    on_openshift = render(KUBEAI, "--api-versions", "security.openshift.io/v1")
    (constraints,) = on_openshift.of("SecurityContextConstraints")
    assert constraints["users"] == ["system:serviceaccount:ns:kubeai-models"]


def test_monitors_find_the_service_and_the_servers() -> None:
    monitor = {"enabled": True, "labels": {"release": "p"}, "interval": "15s"}
    metrics = {"prometheusOperator": {"serviceMonitor": monitor, "vLLMPodMonitor": monitor}}
    rendered = render(KUBEAI, values={"metrics": metrics})
    service = rendered.one("Service")
    found = rendered.one("ServiceMonitor")
    assert found["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert found["spec"]["endpoints"] == [{"port": "http-metrics", "honorLabels": True, "interval": "15s"}]
    assert found["metadata"]["labels"]["release"] == "p"
    servers = rendered.one("PodMonitor", "kubeai-vllm")["spec"]
    assert servers["selector"]["matchLabels"]["app.kubernetes.io/name"] == "vllm"
    assert servers["podMetricsEndpoints"] == [{"port": "http", "interval": "15s"}]


def test_the_chat_page_talks_to_kubeais_service() -> None:
    rendered = render(KUBEAI, values={"service": {"port": 8080}, "open-webui": {"enabled": True}})
    (container,) = rendered.one("Deployment", "open-webui")["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env["OPENAI_API_BASE_URLS"] == "http://kubeai:8080/openai/v1"


def test_a_constraint_with_a_selector_keeps_it() -> None:
    own: JSON = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    rendered = render(KUBEAI, values={"topologySpreadConstraints": [own]})
    assert rendered.pod["spec"]["topologySpreadConstraints"] == [own]


def test_the_dashboard_is_found_by_grafanas_sidecar() -> None:
    assert [c for c in render(KUBEAI).of("ConfigMap") if c["metadata"]["name"] == "kubeai-dashboard"] == []
    values = {"metrics": {"grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "Models"}}}}
    found = render(KUBEAI, values=values).one("ConfigMap", "kubeai-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Models"}
    assert json.loads(found["data"]["kubeai.json"]) == json.loads(
        (KUBEAI / "files" / "grafana-dashboard.json").read_text()
    )


def test_a_separate_operator_takes_no_requests_and_a_separate_gateway_decides_nothing() -> None:
    operator = {"separate": True, "replicaCount": 0, "resources": {"limits": {"cpu": "1"}}}
    rendered = render(KUBEAI, values={"operator": operator, "replicaCount": 3, "args": ["--port", "8000"]})
    apart, serving = (rendered.one("Deployment", name)["spec"] for name in ("kubeai-operator", "kubeai"))
    containers = [spec["template"]["spec"]["containers"][0] for spec in (apart, serving)]
    assert [container["command"] for container in containers] == [["kubeai", "operator"], ["kubeai", "gateway"]]
    assert [container.get("args") for container in containers] == [None, ["--port", "8000"]]
    assert [[port["name"] for port in container["ports"]] for container in containers] == [
        ["metrics", "health"],
        ["http", "metrics", "health"],
    ]
    assert [container.get("resources") for container in containers] == [operator["resources"], None]
    assert (apart["replicas"], serving["replicas"]) == (0, 3)
    accounts = [spec["template"]["spec"]["serviceAccountName"] for spec in (apart, serving)]
    assert accounts == ["kubeai", "kubeai-gateway"]
    assert apart["template"]["metadata"]["labels"][NAME_LABEL] != COMPONENT  # the autoscaler must not ask it


def test_the_metrics_of_a_separate_operator_are_collected_too() -> None:
    values = {"operator": {"separate": True}, "metrics": {"prometheusOperator": {"serviceMonitor": {"enabled": True}}}}
    rendered = render(KUBEAI, values=values)
    service, deployment = rendered.one("Service", "kubeai-operator"), rendered.one("Deployment", "kubeai-operator")
    monitor = rendered.one("ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert [port["name"] for port in service["spec"]["ports"]] == [each["port"] for each in monitor["endpoints"]]


def test_model_servers_of_watched_namespaces_answer_kubeai_only() -> None:
    values = {"networkPolicy": {"enabled": True}, "watchNamespaces": ["team"], "operator": {"separate": True}}
    policies = {
        p["metadata"]["namespace"]: p
        for p in render(KUBEAI, values=values).of("NetworkPolicy")
        if "-models" in p["metadata"]["name"]
    }
    here, there = (policies[namespace]["spec"]["ingress"][0]["from"] for namespace in ("ns", "team"))
    assert [peer["podSelector"]["matchLabels"][NAME_LABEL] for peer in here] == ["kubeai", "kubeai-operator"]
    ours = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ns"}}}
    assert there == [peer | ours for peer in here]


def test_watched_namespaces_are_in_the_configuration() -> None:
    assert render(KUBEAI, values={"watchNamespaces": ["team"]}).system.watch_namespaces == ("team",)
