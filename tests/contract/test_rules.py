"""The CRD of Models as API servers carry it out: each rule, on create and on update, in the words of our own checks.

What `kubeai validate` says offline and what a cluster says are then the same by test, not by care.
"""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.resources import MODELS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.unit.api.manifests import manifest
from tests.unit.api.rule_cases import BAD, BAD_CHANGES, BAD_FIELDS, GOOD, GOOD_CHANGES, Spec

#: A server drops fields that it does not know, where our own checks warn of a slip of the pen.
KNOWN_FIELDS = [case for case in BAD_FIELDS if "unknown field" not in case[1]]


async def _refused(client: Client, obj: dict[str, Any], *, update: bool = False) -> list[str]:
    """The faults as `field: message`."""
    with pytest.raises(APIError) as refusal:
        await (client.replace(MODELS, obj) if update else client.create(MODELS, obj))
    assert refusal.value.invalid
    return [f"{cause['field']}: {cause['message']}" for cause in refusal.value.details["causes"]]


def _names(faults: list[str], fault: str) -> bool:
    """Whether one of the faults is at the field, and has the words, of a fault as our own checks say it."""
    field, _, words = fault.partition(": ")
    return any(said.startswith(f"{field}: ") and words in said for said in faults)


@pytest.mark.parametrize("spec", GOOD)
async def test_a_good_model_is_taken(client: Client, spec: Spec) -> None:
    made = await client.create(MODELS, manifest(**spec))
    assert {key: made["spec"][key] for key in spec} == spec


@pytest.mark.parametrize(("spec", "fault"), BAD)
async def test_a_model_against_a_rule_is_refused(client: Client, spec: Spec, fault: str) -> None:
    assert _names(await _refused(client, manifest(**spec)), fault)


@pytest.mark.parametrize(("spec", "fault"), BAD)
async def test_a_change_against_a_rule_is_refused(client: Client, spec: Spec, fault: str) -> None:
    old = await client.create(MODELS, manifest())
    new = {**old, "spec": manifest(**spec)["spec"]}
    assert _names(await _refused(client, new, update=True), fault)
    assert (await client.get(MODELS, "m"))["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]


@pytest.mark.parametrize(("before", "after"), GOOD_CHANGES)
async def test_a_good_change_is_taken(client: Client, before: Spec, after: Spec) -> None:
    old = await client.create(MODELS, manifest(**before))
    new = await client.replace(MODELS, {**old, "spec": manifest(**after)["spec"]})
    assert new["metadata"]["generation"] == 2


@pytest.mark.parametrize(("before", "after", "fault"), BAD_CHANGES)
async def test_a_forbidden_change_is_refused(client: Client, before: Spec, after: Spec, fault: str) -> None:
    old = await client.create(MODELS, manifest(**before))
    assert _names(await _refused(client, {**old, "spec": manifest(**after)["spec"]}, update=True), fault)


@pytest.mark.parametrize(
    ("spec", "fault"), KNOWN_FIELDS, ids=lambda value: value[:60] if isinstance(value, str) else ""
)
async def test_a_bad_field_is_refused_where_we_say(client: Client, spec: Spec, fault: str) -> None:
    faults = await _refused(client, manifest(**spec))
    # A bound that only the scale subresource has is told with a dot before it.
    assert fault.partition(":")[0] in [said.partition(":")[0].lstrip(".") for said in faults]


async def test_a_name_has_at_most_40_characters(client: Client) -> None:
    await client.create(MODELS, manifest(name="a" * 40))
    assert "metadata.name must be at most 40 characters" in str(await _refused(client, manifest(name="a" * 41)))
