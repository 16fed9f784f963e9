"""Lists, selectors, pages and watches."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, EVENTS, MODELS, PODS
from kubeai.embedded.apiserver import APIServer
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import config_map, model_manifest, pod_manifest

from .watch import OpenWatch


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ("tier=a", ["one"]),
        ("tier!=a", ["three", "two"]),
        ("tier in (a,b)", ["one", "two"]),
        ("!tier", ["three"]),
        ("tier,tier notin (b)", ["one"]),
    ],
)
async def test_labels_select(client: Client, labels: str, names: list[str]) -> None:
    for name, own in {"one": {"tier": "a"}, "two": {"tier": "b"}, "three": {}}.items():
        await client.create(CONFIG_MAPS, config_map(name, metadata={"labels": own | {"mine": "yes"}}))
    found = await client.list(CONFIG_MAPS, labels=f"mine=yes,{labels}")
    assert sorted(obj["metadata"]["name"] for obj in found) == names


async def test_fields_select(client: Client) -> None:
    await client.create(PODS, pod_manifest("one", nodeName="here"))
    await client.create(PODS, pod_manifest("two"))

    async def names(fields: str) -> list[str]:
        return [pod["metadata"]["name"] for pod in await client.list(PODS, fields=fields)]

    assert await names("spec.nodeName=here") == ["one"]
    assert await names("spec.nodeName=") == ["two"]
    assert await names("metadata.name!=one,status.phase=Pending") == ["two"]
    assert await names("metadata.name=one") == ["one"]
    assert await names("metadata.name=one,spec.nodeName=") == []
    assert await names("metadata.name=nobody") == []
    for pod in ("one", "two"):
        await client.delete(PODS, pod, grace_period_s=0)


async def test_events_are_found_by_their_object(client: Client) -> None:
    def event(name: str, about: str) -> dict[str, Any]:
        involved = {"kind": "Model", "name": about, "namespace": client.namespace, "uid": f"uid-of-{about}"}
        return {"metadata": {"name": name}, "involvedObject": involved, "reason": "Tested", "type": "Normal"}

    for name, about in (("e1", "m1"), ("e2", "m2")):
        await client.create(EVENTS, event(name, about))
    found = await client.list(EVENTS, fields="involvedObject.name=m2,involvedObject.uid=uid-of-m2")
    assert [obj["metadata"]["name"] for obj in found] == ["e2"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("fieldSelector=spec.colour%3Dred", 400, id="a field that cannot be selected by"),
        pytest.param("labelSelector=a%3D%3D%3Db", 400, id="a selector that is none"),
        pytest.param("continue=nonsense", 400, id="a place to continue at that is none"),
    ],
)
async def test_a_list_is_refused(client: Client, query: str, status: int) -> None:
    with pytest.raises(APIError) as refusal:
        await client.transport.request("GET", f"{PODS.path(client.namespace)}?{query}")
    assert refusal.value.status == status


async def test_a_list_comes_in_pages(client: Client) -> None:
    for number in range(5):
        await client.create(CONFIG_MAPS, config_map(f"c{number}", metadata={"labels": {"paged": "yes"}}))
    names, token, sizes = [], "", []
    while True:
        params = {"limit": "2", "labelSelector": "paged=yes"} | ({"continue": token} if token else {})
        answer = await client.transport.request("GET", CONFIG_MAPS.path(client.namespace), params=params)
        page = msgspec.json.decode(answer)
        names += [obj["metadata"]["name"] for obj in page["items"]]
        sizes.append(len(page["items"]))
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"c{number}" for number in range(5)]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("limit", ["0", "-1"])
async def test_a_limit_below_one_is_none(client: Client, limit: str) -> None:
    for number in range(2):
        await client.create(CONFIG_MAPS, config_map(f"c{number}", metadata={"labels": {"paged": "yes"}}))
    params = {"limit": limit, "labelSelector": "paged=yes"}
    answer = await client.transport.request("GET", CONFIG_MAPS.path(client.namespace), params=params)
    page = msgspec.json.decode(answer)
    assert [obj["metadata"]["name"] for obj in page["items"]] == ["c0", "c1"]
    assert not page["metadata"].get("continue")


async def _version(client: Client) -> str:
    answer = await client.transport.request("GET", CONFIG_MAPS.path(client.namespace))
    return str(msgspec.json.decode(answer)["metadata"]["resourceVersion"])


async def test_a_watch_tells_what_changes(client: Client, watch: OpenWatch) -> None:
    async with watch(resourceVersion=await _version(client)) as events:
        await client.create(CONFIG_MAPS, config_map())
        await client.patch(CONFIG_MAPS, "c", {"data": {"a": "1"}})
        await client.delete(CONFIG_MAPS, "c")
        seen = [await events.next() for _ in range(3)]
    assert [type for type, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen]
    assert versions == sorted(set(versions))
    assert seen[2][1]["data"] == {"a": "1"}


async def test_a_watch_goes_on_where_another_ended(client: Client, watch: OpenWatch) -> None:
    made = await client.create(CONFIG_MAPS, config_map("one"))
    await client.create(CONFIG_MAPS, config_map("two"))
    await client.delete(CONFIG_MAPS, "one")
    async with watch(resourceVersion=made["metadata"]["resourceVersion"]) as events:
        assert await events.named(2) == [("ADDED", "two"), ("DELETED", "one")]


async def test_a_watch_without_a_version_begins_with_what_is_there(client: Client, watch: OpenWatch) -> None:
    await client.create(CONFIG_MAPS, config_map("one"))
    async with watch(fieldSelector="metadata.name=one") as events:
        assert await events.named(1) == [("ADDED", "one")]


async def test_an_object_enters_and_leaves_a_selection(client: Client, watch: OpenWatch) -> None:
    await client.create(CONFIG_MAPS, config_map())
    async with watch(resourceVersion=await _version(client), labelSelector="on=yes") as events:
        await client.patch(CONFIG_MAPS, "c", {"metadata": {"labels": {"on": "yes"}}})
        await client.patch(CONFIG_MAPS, "c", {"data": {"a": "1"}})
        gone = await client.patch(CONFIG_MAPS, "c", {"metadata": {"labels": {"on": "no"}}})
        seen = [await events.next() for _ in range(3)]
    assert [type for type, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    left = seen[2][1]["metadata"]
    assert (left["labels"], left["resourceVersion"]) == ({"on": "yes"}, gone["metadata"]["resourceVersion"])


async def test_initial_events_end_with_a_bookmark(client: Client, watch: OpenWatch) -> None:
    await client.create(CONFIG_MAPS, config_map("one"))
    wanted = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with watch(**wanted, fieldSelector="metadata.name=one") as events:
        assert (await events.named(1)) == [("ADDED", "one")]
        type, obj = await events.next()
    assert type == "BOOKMARK"
    assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_ends_when_its_time_is_up(client: Client, watch: OpenWatch) -> None:
    async with watch(resourceVersion=await _version(client), timeoutSeconds="1") as events:
        assert await events.ended()


async def test_a_watch_from_before_a_restart_has_to_list_again(
    embedded: APIServer, client: Client, watch: OpenWatch
) -> None:
    version = await _version(client)
    await client.create(CONFIG_MAPS, config_map())
    await _restart(embedded)
    async with watch(resourceVersion=version) as events:
        type, status = await events.next()
        assert (type, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        assert await events.ended()


async def _restart(server: APIServer) -> None:
    """Stop the server and start it again where it was."""
    await server.stop()
    await server.start(port=int(server.url.rpartition(":")[2]))


async def test_stopping_ends_watches_at_once(embedded: APIServer, client: Client, watch: OpenWatch) -> None:
    version = await _version(client)
    async with watch(resourceVersion=version) as events:
        async with asyncio.timeout(20):
            await embedded.stop()
        assert await events.ended()
    await _restart(embedded)


async def test_models_of_all_namespaces_are_one_list(client: Client) -> None:
    await client.create(MODELS, model_manifest("everywhere"))
    found = await client.list(MODELS, "", fields="metadata.name=everywhere")
    assert [obj["metadata"]["namespace"] for obj in found] == [client.namespace]


async def test_a_list_may_lag(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map())
    async with asyncio.timeout(60):  # a real server's cache learns of it by a watch of its own
        found: list[str] = []
        while not found:
            found = [
                obj["metadata"]["name"]
                for obj in await client.list(CONFIG_MAPS, may_lag=True, fields="metadata.name=c")
            ]
