"""What the embedded server does beside an API server's own work, or promises beyond it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, PODS, Resource
from kubeai.embedded.apiserver import APIServer, PortInUseError
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.kubeconfig import load_kubeconfig
from tests.builders import config_map, definition, owner_of, pod_manifest

from .conftest import TOKEN, FakeLogs, Server

pytestmark = pytest.mark.usefixtures("embedded")
GADGETS = Resource("test.dev", "v1", "gadgets", "Gadget")


def _gadget(name: str = "g", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "test.dev/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": spec}


async def _names(client: Client, resource: Resource = CONFIG_MAPS) -> list[str]:
    return [obj["metadata"]["name"] for obj in await client.list(resource)]


async def _family(client: Client, **reference: Any) -> dict[str, Any]:
    """An owner, its child, and its grandchild."""
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    child_metadata = {"ownerReferences": [owner_of(owner, **reference)]}
    child = await client.create(CONFIG_MAPS, config_map("child", metadata=child_metadata))
    grandchild_metadata = {"ownerReferences": [owner_of(child)]}
    await client.create(CONFIG_MAPS, config_map("grandchild", metadata=grandchild_metadata))
    return owner


@pytest.mark.parametrize("propagation", [None, "Background", "Foreground"])
async def test_dependents_follow_their_owner(client: Client, propagation: Any) -> None:
    await _family(client, blockOwnerDeletion=True)
    await client.delete(CONFIG_MAPS, "owner", propagation=propagation)
    assert await _names(client) == []


async def test_orphans_stay(client: Client) -> None:
    await _family(client)
    await client.delete(CONFIG_MAPS, "owner", propagation="Orphan")
    assert await _names(client) == ["child", "grandchild"]
    assert "ownerReferences" not in (await client.get(CONFIG_MAPS, "child"))["metadata"]


async def test_a_foreground_deletion_waits_for_those_who_block_it(client: Client) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    metadata = {"ownerReferences": [owner_of(owner, blockOwnerDeletion=True)]}
    await client.create(PODS, pod_manifest(metadata=metadata, nodeName="somewhere"))
    await client.delete(CONFIG_MAPS, "owner", propagation="Foreground")
    assert (await client.get(CONFIG_MAPS, "owner"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert (await client.get(PODS, "p"))["metadata"]["deletionTimestamp"]
    await client.delete(PODS, "p", grace_period_s=0)
    assert await _names(client) == []


async def test_who_has_another_owner_only_loses_the_reference(client: Client) -> None:
    one, two = [await client.create(CONFIG_MAPS, config_map(name)) for name in ("one", "two")]
    await client.create(CONFIG_MAPS, config_map("child", metadata={"ownerReferences": [owner_of(one), owner_of(two)]}))
    await client.delete(CONFIG_MAPS, "one")
    assert (await client.get(CONFIG_MAPS, "child"))["metadata"]["ownerReferences"] == [owner_of(two)]


async def test_a_child_of_nobody_goes_at_once(client: Client) -> None:
    orphan = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "never-was"}
    await client.create(CONFIG_MAPS, config_map("child", metadata={"ownerReferences": [orphan]}))
    assert await _names(client) == []


async def test_a_child_of_an_unknown_kind_is_left_alone(client: Client) -> None:
    stranger = {"apiVersion": "other.dev/v1", "kind": "Other", "name": "x", "uid": "far-away"}
    await client.create(CONFIG_MAPS, config_map("child", metadata={"ownerReferences": [stranger]}))
    assert await _names(client) == ["child"]


async def test_a_namespace_takes_its_content_along(client: Client) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "going"}})
    await client.create(CONFIG_MAPS, config_map(), "going")
    await client.create(PODS, pod_manifest(nodeName="somewhere"), "going")
    await client.delete(NAMESPACES, "going")
    assert (await client.get(NAMESPACES, "going"))["status"]["phase"] == "Terminating"
    with pytest.raises(APIError) as refusal:
        await client.create(CONFIG_MAPS, config_map("late"), "going")
    assert refusal.value.forbidden
    await client.delete(PODS, "p", namespace="going", grace_period_s=0)
    with pytest.raises(APIError) as gone:
        await client.get(NAMESPACES, "going")
    assert gone.value.not_found


async def test_the_default_namespace_stays(client: Client) -> None:
    with pytest.raises(APIError) as refusal:
        await client.delete(NAMESPACES, "default")
    assert refusal.value.forbidden


SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "colour": {"type": "string", "default": "grey"},
    },
    "x-kubernetes-validations": [
        {"rule": "self.colour != 'pink'", "message": "not pink"},
        {"rule": "self.size >= oldSelf.size", "messageExpression": "'shrinks to ' + string(self.size)"},
    ],
}


async def test_a_definition_adds_a_kind_at_once(client: Client) -> None:
    made = await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(SPEC))
    assert {c["type"]: c["status"] for c in made["status"]["conditions"]}["Established"] == "True"
    gadget = await client.create(GADGETS, _gadget(size=2, junk=1))
    assert gadget["spec"] == {"size": 2, "colour": "grey"}
    with pytest.raises(APIError) as pink:
        await client.create(GADGETS, _gadget("h", size=1, colour="pink"))
    assert "not pink" in pink.value.message
    with pytest.raises(APIError) as smaller:
        await client.patch(GADGETS, "g", {"spec": {"size": 1}})
    assert "shrinks to 1" in smaller.value.message


async def test_a_definition_takes_its_objects_along(client: Client) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(SPEC))
    await client.create(GADGETS, _gadget(size=1))
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, "gadgets.test.dev")
    with pytest.raises(APIError) as gone:
        await client.list(GADGETS)
    assert gone.value.not_found
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(SPEC))
    assert await _names(client, GADGETS) == []


async def test_versions_of_a_kind_show_the_same_objects(client: Client) -> None:
    crd = definition(SPEC)
    old = crd["spec"]["versions"][0] | {"name": "v1beta1", "storage": False, "deprecated": True}
    crd["spec"]["versions"].append(old)
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    beta = Resource("test.dev", "v1beta1", "gadgets", "Gadget")
    made = await client.create(beta, _gadget(size=1) | {"apiVersion": "test.dev/v1beta1"})
    assert made["apiVersion"] == "test.dev/v1beta1"
    assert (await client.get(GADGETS, "g"))["apiVersion"] == "test.dev/v1"
    assert (await client.patch(beta, "g", {"spec": {"size": 3}}))["spec"]["size"] == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"metadata": {"name": "other.test.dev"}}, "metadata.name", id="a name that is not PLURAL.GROUP"),
        pytest.param(
            {"spec": definition({"type": "object", "x-kubernetes-validations": [{"rule": "self.("}]})["spec"]},
            "cannot be compiled",
            id="a rule that is no CEL",
        ),
        pytest.param(
            {"spec": definition(SPEC, storage=False)["spec"]}, "storage version", id="no version to store objects in"
        ),
    ],
)
async def test_a_bad_definition_is_refused(client: Client, change: dict[str, Any], words: str) -> None:
    with pytest.raises(APIError) as refusal:
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(SPEC) | change)
    assert words in refusal.value.message


async def test_a_scheduler_binds_a_pod_once(client: Client) -> None:
    await client.create(PODS, pod_manifest())
    path = PODS.path(client.namespace, "p", "binding")
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "here"}}
    await client.transport.request("POST", path, body=binding)
    assert (await client.get(PODS, "p"))["spec"]["nodeName"] == "here"
    with pytest.raises(APIError) as refusal:
        await client.transport.request("POST", path, body=binding)
    assert refusal.value.conflict


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, b"server one\nserver two\nserver three\n"),
        ({"tail_lines": 1}, b"server three\n"),
        ({"tail_lines": 1, "follow": True}, b"server three\nfour\n"),
        ({"previous": True}, b"the run before\n"),
        ({"container": "helper", "tail_lines": 1}, b"helper three\n"),
    ],
)
async def test_logs_come_from_the_source(client: Client, options: dict[str, Any], expected: bytes) -> None:
    annotations = {"kubectl.kubernetes.io/default-container": "server"}
    containers = [{"name": name, "image": "local/echo"} for name in ("server", "helper", "silent")]
    await client.create(PODS, pod_manifest(metadata={"annotations": annotations}, containers=containers))
    assert b"".join([chunk async for chunk in client.logs("p", **options)]) == expected


@pytest.mark.parametrize(
    ("container", "words"),
    [
        pytest.param(None, "choose one of: [server silent]", id="none of several is named"),
        pytest.param("other", "container other is not valid", id="it does not exist"),
        pytest.param("silent", "waiting to start", id="it has not run"),
    ],
)
async def test_there_is_no_log(client: Client, container: str | None, words: str) -> None:
    containers = [{"name": name, "image": "local/echo"} for name in ("server", "silent")]
    await client.create(PODS, pod_manifest(containers=containers))
    with pytest.raises(APIError) as refusal:
        _ = [chunk async for chunk in client.logs("p", container=container)]
    assert words in refusal.value.message


async def test_without_the_token_only_health_is_told(embedded: APIServer) -> None:
    async with Client(token_access(embedded.url, "wrong")) as stranger:
        assert await stranger.transport.request("GET", "/readyz") == b"ok"
        for path in ("/version", "/api/v1/pods", "/apis"):
            with pytest.raises(APIError) as refusal:
                await stranger.transport.request("GET", path)
            assert (refusal.value.status, refusal.value.reason) == (401, "Unauthorized")


async def test_our_client_reads_the_kubeconfig(server: Server) -> None:
    async with Client(load_kubeconfig(server.kubeconfig)) as client:
        assert (await client.get(NAMESPACES, "default"))["status"]["phase"] == "Active"


async def test_everything_is_there_after_a_restart(embedded: APIServer, client: Client) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(SPEC))
    made = await client.create(GADGETS, _gadget(size=1))
    await embedded.stop()
    await embedded.start(port=int(embedded.url.rpartition(":")[2]))
    assert await client.get(GADGETS, "g") == made
    newer = await client.patch(GADGETS, "g", {"spec": {"size": 2}})
    assert int(newer["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_starting_again_changes_nothing(embedded: APIServer, client: Client) -> None:
    async def versions() -> list[str]:
        found = [*await client.list(NAMESPACES), *await client.list(CUSTOM_RESOURCE_DEFINITIONS)]
        return [obj["metadata"]["resourceVersion"] for obj in found]

    before = await versions()
    await embedded.stop()
    await embedded.start(port=int(embedded.url.rpartition(":")[2]))
    assert await versions() == before


async def test_what_cannot_be_stored_is_refused_and_did_not_happen(client: Client, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "cluster.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(APIError) as refusal:
        await client.create(CONFIG_MAPS, config_map())
    other.close()
    assert (refusal.value.status, refusal.value.transient) == (500, True)
    assert "in use by another process" in refusal.value.message
    assert await _names(client) == []
    await client.create(CONFIG_MAPS, config_map())


async def test_a_port_in_use_is_said(embedded: APIServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    second = APIServer(tmp_path / "other", token=TOKEN, logs=FakeLogs())
    with pytest.raises(PortInUseError, match="in use by another program"):
        await second.start(port=int(embedded.url.rpartition(":")[2]))
    await second.start()
    await second.stop()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("GET", "/apis/none.dev/v1/things", None, 404, id="a kind that is not served"),
        pytest.param("GET", "/nothing", None, 404, id="a path of nothing"),
        pytest.param("POST", "/api/v1/namespaces/default/configmaps", b"{", 400, id="a body that is no JSON"),
        pytest.param("POST", "/api/v1/namespaces/default/configmaps", b"[]", 400, id="a body that is no object"),
        pytest.param("POST", "/api/v1/namespaces/default/configmaps", b"x" * 4_000_000, 413, id="a body too large"),
        pytest.param("PUT", "/api/v1/namespaces/default/configmaps", b"{}", 405, id="a method that is not allowed"),
        pytest.param("GET", "/api/v1/namespaces/default/pods/p/exec", None, 404, id="a subresource that is not there"),
        pytest.param("DELETE", "/api/v1/namespaces/default/pods?dryRun=Some", None, 400, id="half a dry run"),
        pytest.param("POST", "/api/v1/namespaces/default/nodes", b"{}", 404, id="a cluster-wide kind in a namespace"),
        pytest.param("GET", "/api/v1/pods/p", None, 404, id="a name without its namespace"),
        pytest.param("DELETE", "/api/v1/pods", None, 405, id="all Pods of all namespaces"),
    ],
)
async def test_a_bad_request_is_answered_with_a_status(
    client: Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    with pytest.raises(APIError) as refusal:
        await client.transport.request(method, path, body=body)
    assert refusal.value.status == status


async def test_deleting_a_collection_deletes_what_is_selected(client: Client) -> None:
    for name, colour in (("a", "red"), ("b", "red"), ("c", "blue")):
        await client.create(CONFIG_MAPS, config_map(name, metadata={"labels": {"colour": colour}}))
    params = {"labelSelector": "colour=red"}
    await client.transport.request("DELETE", CONFIG_MAPS.path(client.namespace), params=params)
    assert await _names(client) == ["c"]


async def test_writers_at_once_lose_nothing(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map())

    async def write(number: int) -> None:
        await client.patch(CONFIG_MAPS, "c", {"data": {f"k{number}": "x"}})

    await asyncio.gather(*(write(number) for number in range(50)))
    assert len((await client.get(CONFIG_MAPS, "c"))["data"]) == 50
