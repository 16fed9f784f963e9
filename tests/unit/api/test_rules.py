"""Every rule of the table: what it refuses, and that its two forms agree."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeai.api.rules import RULES
from kubeai.api.validation import default_model, places, validate_model
from tests.unit.api.cel import holds
from tests.unit.api.manifests import adapter, file, manifest
from tests.unit.api.rule_cases import BAD, BAD_CHANGES, GOOD, GOOD_CHANGES, Spec


def faults(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    assert_both_forms_agree(default_model(new), old and default_model(old))
    return [str(fault) for fault in validate_model(new, old)]


def assert_both_forms_agree(new: dict[str, Any], old: dict[str, Any] | None) -> None:
    for rule in RULES:
        for place, value, before in places(new, old, rule.path):
            if not rule.transition or before is not None:
                assert rule.check(value, before) == holds(rule.cel, value, before), (place, rule.cel)


@pytest.mark.parametrize("spec", GOOD)
def test_accepts(spec: Spec) -> None:
    assert faults(manifest(**spec)) == []


@pytest.mark.parametrize(("spec", "fault"), BAD)
def test_refuses(spec: Spec, fault: str) -> None:
    assert [text[: len(fault)] for text in faults(manifest(**spec))] == [fault]


def test_a_name_has_at_most_40_characters() -> None:
    assert faults(manifest(name="a" * 40)) == []
    assert faults(manifest(name="a" * 41))[0].startswith("metadata.name: metadata.name must be at most 40")


@pytest.mark.parametrize(("before", "after"), GOOD_CHANGES)
def test_accepts_a_change_where(before: Spec, after: Spec) -> None:
    assert faults(manifest(**after), manifest(**before)) == []


@pytest.mark.parametrize(("before", "after", "fault"), BAD_CHANGES)
def test_refuses_a_change_where(before: Spec, after: Spec, fault: str) -> None:
    assert [text[: len(fault)] for text in faults(manifest(**after), manifest(**before))] == [fault]


def test_a_fault_carries_the_rule_as_the_api_server_has_it() -> None:
    (fault,) = validate_model(manifest(url="gs://a"))
    assert fault.rule == 'has(self.cacheProfile) || !(self.url.startsWith("gs://") || self.url.startsWith("oss://"))'


urls = st.one_of(
    st.builds(
        "{}://{}".format, st.sampled_from(["hf", "pvc", "ollama", "s3", "gs", "oss", "pypi", "file"]), st.just("a")
    ),
    st.sampled_from(["", "hf:/a", "hf://", " hf://a", "https://a", "s3://b"]),
)
paths = st.text(alphabet="/:aé😀", max_size=3)
kinds = st.sampled_from(["labels", "annotations"])
keys = st.sampled_from(["app", "model", "kubeai.org/files-hash", "other"])
small = st.integers(0, 3)
specs = st.fixed_dictionaries(
    {
        "url": urls,
        "engine": st.sampled_from(["OLlama", "VLLM", "LlamaCpp"]),
        "features": st.lists(st.sampled_from(["TextGeneration", "Reranking"]), max_size=2),
    },
    optional={
        "cacheProfile": st.sampled_from(["", "a", "b"]),
        "minReplicas": small,
        "maxReplicas": small.map(lambda n: n + 1),
        "adapters": st.lists(st.builds(adapter, st.sampled_from(["a", "b"]), urls), max_size=2),
        "files": st.lists(st.builds(file, paths), max_size=3),
        "pods": st.fixed_dictionaries(
            {"template": st.fixed_dictionaries({"metadata": st.dictionaries(kinds, st.dictionaries(keys, keys))})}
        ),
        "rollout": st.fixed_dictionaries(
            {}, optional={"strategy": st.sampled_from(["Surge", "Recreate"]), "surge": small}
        ),
        "loadBalancing": st.fixed_dictionaries(
            {}, optional={"prefixHash": st.fixed_dictionaries({}, optional={"replication": st.sampled_from([1, 256])})}
        ),
    },
)
names = st.sampled_from(["a", "a" * 40, "a" * 41, "é" * 40])


@settings(max_examples=300)
@given(name=names, spec=specs, before=st.none() | specs)
def test_python_and_cel_agree(name: str, spec: Spec, before: Spec | None) -> None:
    new = default_model(manifest(name=name, **spec))
    old = None if before is None else default_model(manifest(name=name, **before))
    assert_both_forms_agree(new, old)
