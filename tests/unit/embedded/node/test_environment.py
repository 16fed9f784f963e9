"""A container's environment from all its sources."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kubeai.embedded.node.containers import parse_pod
from kubeai.embedded.node.environment import ConfigMissingError, build_env, expand, needed_objects, pod_field
from tests.builders import container, pod_body

OBJECTS: dict[tuple[str, str], dict[str, Any] | None] = {
    ("Secret", "s"): {"data": {"token": base64.b64encode(b"t0ken").decode()}},
    ("ConfigMap", "c"): {"data": {"COLOR": "red", "SIZE": "big"}},
}


def built(*env: dict[str, Any], env_from: tuple[dict[str, Any], ...] = ()) -> dict[str, str]:
    pod = pod_body("p", container(env=list(env), envFrom=list(env_from)))
    pod["metadata"]["labels"] = {"app": "model"}
    spec = parse_pod(pod).containers[0]
    return build_env(spec, OBJECTS, pod_field(pod, "127.70.1.2", "local"))


def var(name: str, **source: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": source}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param({"name": "V", "value": "x"}, "x", id="a plain value"),
        pytest.param({"name": "V"}, "", id="no value is an empty one"),
        pytest.param(var("V", secretKeyRef={"name": "s", "key": "token"}), "t0ken", id="a secret"),
        pytest.param(var("V", configMapKeyRef={"name": "c", "key": "COLOR"}), "red", id="a config map"),
        pytest.param(var("V", fieldRef={"fieldPath": "metadata.name"}), "p", id="the Pod's name"),
        pytest.param(var("V", fieldRef={"fieldPath": "status.podIP"}), "127.70.1.2", id="the Pod's address"),
        pytest.param(var("V", fieldRef={"fieldPath": "metadata.labels['app']"}), "model", id="a label"),
    ],
)
def test_one_variable(variable: dict[str, Any], value: str) -> None:
    assert built(variable) == {"V": value}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"secretKeyRef": {"name": "no", "key": "k", "optional": True}}, id="no such secret"),
        pytest.param({"configMapKeyRef": {"name": "c", "key": "no", "optional": True}}, id="no such key"),
    ],
)
def test_an_optional_source_that_is_missing_sets_nothing(source: dict[str, Any]) -> None:
    assert built(var("V", **source)) == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param({"secretKeyRef": {"name": "no", "key": "k"}}, 'secret "no" not found', id="no such secret"),
        pytest.param(
            {"configMapKeyRef": {"name": "c", "key": "no"}}, "couldn't find key no in ConfigMap c", id="no such key"
        ),
    ],
)
def test_a_missing_source_is_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigMissingError, match=message):
        built(var("V", **source))


def test_whole_objects_come_with_a_prefix_and_give_way_to_single_variables() -> None:
    env = built(
        {"name": "SIZE", "value": "small"},
        env_from=({"configMapRef": {"name": "c"}}, {"configMapRef": {"name": "c"}, "prefix": "MY_"}),
    )
    assert env == {"COLOR": "red", "SIZE": "small", "MY_COLOR": "red", "MY_SIZE": "big"}


def test_a_whole_object_that_is_missing_is_named_unless_optional() -> None:
    assert built(env_from=({"secretRef": {"name": "no", "optional": True}},)) == {}
    with pytest.raises(ConfigMissingError, match='secret "no" not found'):
        built(env_from=({"secretRef": {"name": "no"}},))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$(A)-$(B)", "1-2", id="references"),
        pytest.param("$(NO)", "$(NO)", id="an unknown name stays"),
        pytest.param("$$(A)", "$(A)", id="an escaped reference"),
        pytest.param("$A $ (A)", "$A $ (A)", id="a shell's syntax means nothing"),
    ],
)
def test_references(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_may_refer_to_those_before_it() -> None:
    env = built({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}, {"name": "C", "value": "$(D)"})
    assert env == {"A": "1", "B": "12", "C": "$(D)"}


def test_only_the_objects_that_are_named_are_needed() -> None:
    spec = parse_pod(
        pod_body(
            "p",
            container(
                env=[var("V", secretKeyRef={"name": "s", "key": "k"}), {"name": "W", "value": "x"}],
                envFrom=[{"configMapRef": {"name": "c"}}],
            ),
        )
    ).containers[0]
    assert needed_objects(spec) == {("Secret", "s"), ("ConfigMap", "c")}
