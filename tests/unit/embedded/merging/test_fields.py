from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.embedded.merging.apply import Manager, apply, managed_fields
from kubeai.embedded.merging.fields import (
    MISSING,
    field_set,
    from_fields_v1,
    merged,
    to_fields_v1,
    value_at,
    without,
)
from kubeai.embedded.schemas.core import CONFIG_MAP
from kubeai.embedded.schemas.pods import POD
from kubeai.embedded.status import StatusError

HEAD = {"apiVersion": "v1", "kind": "Pod"}
PORTS = [{"containerPort": 80, "protocol": "TCP"}]
BODY: dict[str, Any] = {
    "metadata": {"finalizers": ["a.dev/x"]},
    "spec": {"containers": [{"name": "c", "args": ["x"], "ports": PORTS}], "nodeSelector": {"a": "b"}},
}


def test_each_leaf_has_a_path() -> None:
    container = ("f:spec", "f:containers", 'k:{"name":"c"}')
    port = (*container, "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}')
    assert field_set(BODY, POD) == {
        ("f:metadata", "f:finalizers", 'v:"a.dev/x"'),
        container,
        (*container, "f:name"),
        (*container, "f:args"),
        port,
        (*port, "f:containerPort"),
        (*port, "f:protocol"),
        ("f:spec", "f:nodeSelector", "f:a"),
    }


def test_the_wire_form_says_the_same() -> None:
    paths = field_set(BODY, POD)
    assert frozenset(from_fields_v1(to_fields_v1(paths))) == paths


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("f:spec", "f:nodeSelector", "f:a"), "b"),
        (("f:spec", "f:containers", 'k:{"name":"c"}', "f:args"), ["x"]),
        (("f:metadata", "f:finalizers", 'v:"a.dev/x"'), "a.dev/x"),
        (("f:spec", "f:containers", 'k:{"name":"other"}'), MISSING),
        (("f:spec", "f:none", "f:deeper"), MISSING),
        (("f:spec", "f:nodeSelector", 'k:{"name":"c"}'), MISSING),
    ],
)
def test_a_path_leads_to_its_value(path: tuple[str, ...], value: Any) -> None:
    assert value_at(BODY, path, POD) is value or value_at(BODY, path, POD) == value


def test_what_is_emptied_goes_too() -> None:
    assert without(BODY, ("f:spec", "f:nodeSelector", "f:a"), POD)["spec"].keys() == {"containers"}
    assert "spec" not in without({"spec": {"containers": [{"name": "c"}]}},
                                 ("f:spec", "f:containers", 'k:{"name":"c"}'), POD)  # fmt: skip


def test_merging_adds_items_and_keeps_others() -> None:
    other = {"spec": {"containers": [{"name": "d"}, {"name": "c", "image": "i"}]}}
    containers = merged(BODY, other, POD)["spec"]["containers"]
    assert containers == [{"name": "c", "args": ["x"], "ports": PORTS, "image": "i"}, {"name": "d"}]


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), DATA), max_size=8))
def test_after_forced_applies_everybody_has_the_last_word_on_his_fields(
    steps: list[tuple[str, dict[str, str]]],
) -> None:
    live: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}}
    last: dict[str, dict[str, str]] = {}
    for manager, data in steps:
        applied = apply(live, live | {"data": data}, Manager(manager, "Apply"), CONFIG_MAP, force=True)
        fields = managed_fields(applied.owners, live, "now")
        live = applied.obj | {"metadata": {"managedFields": fields}}
        # What one manager says takes the same field away from the other if they differ.
        others = {m: {k: v for k, v in d.items() if data.get(k, v) == v} for m, d in last.items()}
        last = others | {manager: data}
    expected = {key: value for data in last.values() for key, value in data.items()}
    assert live.get("data", {}) == expected


def test_a_port_is_the_same_whether_its_protocol_is_said_or_not() -> None:
    brief = HEAD | {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}
    after = apply({**HEAD, "metadata": {}, **BODY}, brief, Manager("m", "Apply"), POD, force=True).obj
    assert after["spec"]["containers"][0]["ports"] == PORTS


@pytest.mark.parametrize(
    ("containers", "says"),
    [
        pytest.param(["c"], "spec.containers[0]: must be an object", id="an item that is no object"),
        pytest.param([{"image": "i"}], 'omits key field "name"', id="an item without its key"),
        pytest.param([{"name": "c"}, {"name": "c"}], 'duplicate entries for key {"name":"c"}', id="one key twice"),
        pytest.param(
            [{"name": "c", "ports": [PORTS[0], {"containerPort": 80}]}], "duplicate entries", id="once with the default"
        ),
    ],
)
@pytest.mark.parametrize("live", [BODY, {}], ids=["onto others", "as the first"])
def test_a_configuration_that_does_not_tell_its_items_apart_is_refused(
    live: dict[str, Any], containers: list[Any], says: str
) -> None:
    config = HEAD | {"spec": {"containers": containers}}
    with pytest.raises(StatusError, match=re.escape(says)) as refusal:
        apply({**HEAD, "metadata": {}, **live}, config, Manager("m", "Apply"), POD, force=True)
    assert refusal.value.code == 400
