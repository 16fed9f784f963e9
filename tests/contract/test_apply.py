"""Server-side apply: who owns which field."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, MODELS, PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import config_map, model_manifest, pod_manifest


async def _apply(client: Client, manager: str, *, force: bool = False, **data: str) -> dict[str, Any]:
    body = config_map() | {"data": data}
    return await client.patch(CONFIG_MAPS, "c", body, type="apply", field_manager=manager, force=force)


async def test_an_apply_creates_what_is_not_there(client: Client) -> None:
    made = await _apply(client, "one", a="1")
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("one", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


async def test_what_a_manager_leaves_out_goes(client: Client) -> None:
    await _apply(client, "one", a="1", b="2")
    assert (await _apply(client, "one", b="2"))["data"] == {"b": "2"}


async def test_what_another_manager_wants_stays(client: Client) -> None:
    await _apply(client, "one", a="1", b="2")
    await _apply(client, "two", b="2", c="3")
    assert (await _apply(client, "one", a="1"))["data"] == {"a": "1", "b": "2", "c": "3"}


async def test_a_field_of_another_manager_is_a_conflict(client: Client) -> None:
    await _apply(client, "one", a="1")
    with pytest.raises(APIError) as refusal:
        await _apply(client, "two", a="2")
    assert refusal.value.conflict
    assert 'conflict with "one"' in refusal.value.message
    assert ".data.a" in refusal.value.message


async def test_force_takes_a_field_over(client: Client) -> None:
    await _apply(client, "one", a="1")
    assert (await _apply(client, "two", force=True, a="2"))["data"] == {"a": "2"}
    with pytest.raises(APIError):
        await _apply(client, "one", a="1")


async def test_a_plain_write_takes_over_what_it_changes(client: Client) -> None:
    await _apply(client, "one", a="1", b="2")
    await client.patch(CONFIG_MAPS, "c", {"data": {"a": "9"}}, field_manager="editor")
    with pytest.raises(APIError) as refusal:
        await _apply(client, "one", a="1", b="2")
    assert 'conflict with "editor"' in refusal.value.message


async def test_applying_the_same_again_makes_no_version(client: Client) -> None:
    first = await _apply(client, "one", a="1")
    again = await _apply(client, "one", a="1")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_items_of_a_list_have_owners_of_their_own(client: Client) -> None:
    def conditions(*types: str) -> dict[str, Any]:
        items = [{"type": type, "status": "True"} for type in types]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"conditions": items}}

    async def apply(manager: str, *types: str) -> list[str]:
        body = conditions(*types)
        pod = await client.patch(PODS, "p", body, subresource="status", type="apply", field_manager=manager)
        return sorted(condition["type"] for condition in pod["status"]["conditions"])

    await client.create(PODS, pod_manifest())
    await apply("one", "test.dev/A", "test.dev/B")
    assert await apply("two", "test.dev/C") == ["test.dev/A", "test.dev/B", "test.dev/C"]
    assert await apply("one", "test.dev/B") == ["test.dev/B", "test.dev/C"]


async def test_a_model_is_applied_beside_its_autoscaler(client: Client) -> None:
    body = model_manifest(targetRequests=5)
    await client.patch(MODELS, "m", body, type="apply", field_manager="user")
    await client.patch(MODELS, "m", {"spec": {"replicas": 3}}, subresource="scale", field_manager="autoscaler")
    spec = (await client.patch(MODELS, "m", body, type="apply", field_manager="user"))["spec"]
    assert (spec["replicas"], spec["targetRequests"]) == (3, 5)
