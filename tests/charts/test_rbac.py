"""The chart's Role against what the source does: no permission is missing, and none is unused (fault R2)."""

from __future__ import annotations

import re

import pytest
import yaml

from .api_calls import Permission, permissions
from .helm import KUBEAI, render

#: What the source does not say by a call of the client.
OTHERS: dict[Permission, str] = {
    ("kubeai.org", "models/finalizers", "update"): "asked by OpenShift of who sets blockOwnerDeletion",
}


#: The groups of rules that a separate operator and a separate gateway have.
OPERATOR = ("operator", "leader")
GATEWAY = ("gateway", "access")
#: What the gateway's part of `app.wiring` looks at.
VIEWED: set[Permission] = {
    (group, resource, verb)
    for group, resource in (("kubeai.org", "models"), ("", "pods"), ("", "secrets"), ("", "configmaps"))
    for verb in ("list", "watch")
}


def rules(*groups: str) -> list[dict[str, list[str]]]:
    """Read without Helm, so that `make test` notices: what is to be filled in stands in quotes."""
    text = (KUBEAI / "templates" / "role.yaml").read_text()
    defined = re.findall(r'define "kubeai\.rules\.(\w+)" }}\n(.*?){{- end }}', text, re.DOTALL)
    assert {name for name, _ in defined} == {*OPERATOR, *GATEWAY}
    return [rule for name, part in defined if name in (groups or dict(defined)) for rule in yaml.safe_load(part)]


def granted(*groups: str) -> set[Permission]:
    return {
        (group, resource, verb)
        for rule in rules(*groups)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


# fault R2
def test_no_permission_is_missing() -> None:
    assert permissions() - granted() == set()


# fault R2
def test_no_permission_is_unused() -> None:
    assert granted() - permissions() - OTHERS.keys() == set()


# fault R2
def test_a_separate_gateway_may_do_what_it_does_and_no_more() -> None:
    assert granted(*GATEWAY) == permissions("access", "gateway", "inference", "routing") | VIEWED


# fault R2
def test_a_separate_operator_may_do_what_it_does_and_no_more() -> None:
    needed = permissions("controller", "kube", "planning", "scaling") | permissions("app/wiring.py", "app/run.py")
    assert granted(*OPERATOR) - OTHERS.keys() == {each for each in needed if each[1] != "secrets"}


def test_there_is_no_wildcard_and_one_secret_only() -> None:
    assert "*" not in {word for permission in granted() for word in permission}
    (secrets,) = [rule for rule in rules() if "secrets" in rule["resources"]]
    (name,) = secrets["resourceNames"]  # an empty one would be all Secrets
    assert "default" in name
    assert set(secrets["verbs"]) <= {"list", "watch"}


@pytest.mark.charts
def test_nothing_reaches_beyond_the_namespace_and_nobody_else_is_bound() -> None:
    rendered = render(KUBEAI)
    assert [obj for obj in rendered.objects if obj["kind"] in ("ClusterRole", "ClusterRoleBinding")] == []
    assert [s["name"] for b in rendered.of("RoleBinding") for s in b["subjects"]] == ["kubeai"]


@pytest.mark.charts
def test_each_watched_namespace_has_a_role_and_no_other_has() -> None:
    values = {"watchNamespaces": ["a", "ns", "b"], "operator": {"separate": True}}
    bound = {
        (b["metadata"]["namespace"], b["roleRef"]["name"], s["name"], s["namespace"])
        for b in render(KUBEAI, values=values).of("RoleBinding")
        for s in b["subjects"]
    }
    roles = ("kubeai", "kubeai-gateway")
    assert bound == {(namespace, role, role, "ns") for namespace in ("ns", "a", "b") for role in roles}
    rendered = render(KUBEAI, values=values).of("Role")
    leases = [r["metadata"]["namespace"] for r in rendered if any("leases" in rule["resources"] for rule in r["rules"])]
    assert leases == ["ns"]
