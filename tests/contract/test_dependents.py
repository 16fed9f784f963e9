"""What becomes of those who belong to an object that is deleted. A real cluster sees to it in its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS, Resource
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import config_map, job_manifest, owner_of, pod_manifest

from .conftest import Server

DEADLINE_S = 60


@pytest.fixture(autouse=True)
def collected(server: Server) -> None:
    """Garbage is collected by the controller manager, which the programs of KUBEBUILDER_ASSETS have not."""
    if server.api is None and not server.has_controllers:
        pytest.skip("this API server runs without controllers")


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    # Poll: what is waited for is the end of watches too.
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


async def _names(client: Client, resource: Resource = CONFIG_MAPS) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in await client.list(resource))


async def _family(client: Client) -> None:
    """An owner, its child and its grandchild."""
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    child = await client.create(
        CONFIG_MAPS, config_map("child", metadata={"ownerReferences": [owner_of(owner, blockOwnerDeletion=True)]})
    )
    await client.create(CONFIG_MAPS, config_map("grandchild", metadata={"ownerReferences": [owner_of(child)]}))


@pytest.mark.parametrize("propagation", [None, "Background", "Foreground"])
async def test_dependents_follow_their_owner(
    client: Client, propagation: Literal["Background", "Foreground"] | None
) -> None:
    await _family(client)
    await client.delete(CONFIG_MAPS, "owner", propagation=propagation)

    async def gone() -> bool:
        return await _names(client) == []

    await _until(gone)


async def test_orphans_stay(client: Client) -> None:
    await _family(client)
    await client.delete(CONFIG_MAPS, "owner", propagation="Orphan")

    async def alone() -> bool:
        return await _names(client) == ["child", "grandchild"]

    await _until(alone)
    assert "ownerReferences" not in (await client.get(CONFIG_MAPS, "child"))["metadata"]


async def test_a_foreground_deletion_waits_for_those_who_block_it(client: Client) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    held = {"ownerReferences": [owner_of(owner, blockOwnerDeletion=True)], "finalizers": ["test.dev/hold"]}
    await client.create(CONFIG_MAPS, config_map("child", metadata=held))
    await client.delete(CONFIG_MAPS, "owner", propagation="Foreground")
    assert (await client.get(CONFIG_MAPS, "owner"))["metadata"]["finalizers"] == ["foregroundDeletion"]

    async def child_goes() -> bool:
        return "deletionTimestamp" in (await client.get(CONFIG_MAPS, "child"))["metadata"]

    async def gone() -> bool:
        return await _names(client) == []

    await _until(child_goes)
    assert await _names(client) == ["child", "owner"]
    await client.patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": None}})
    await _until(gone)


async def test_who_has_another_owner_only_loses_the_reference(client: Client) -> None:
    one, two = [await client.create(CONFIG_MAPS, config_map(name)) for name in ("one", "two")]
    await client.create(CONFIG_MAPS, config_map("child", metadata={"ownerReferences": [owner_of(one), owner_of(two)]}))
    await client.delete(CONFIG_MAPS, "one")

    async def freed() -> bool:
        child = await client.get(CONFIG_MAPS, "child")
        return bool(child["metadata"]["ownerReferences"] == [owner_of(two)])

    await _until(freed)


async def _pods_are_known(client: Client) -> None:
    """Wait until the collector has seen the Pods so far, which come to it by another watch than Jobs.

    It takes away a Pod whose owner never was as soon as it sees it.
    """
    never = owner_of(config_map("never") | {"metadata": {"name": "never", "uid": "never-was"}})
    before = await _names(client, PODS)
    await client.create(PODS, pod_manifest("last", metadata={"ownerReferences": [never]}))

    async def gone() -> bool:
        return await _names(client, PODS) == before

    await _until(gone)


async def test_a_job_leaves_its_pods_behind_unless_asked(client: Client) -> None:
    # What every client that says nothing gets, for the sake of the oldest of them.
    job = await client.create(JOBS, job_manifest(suspend=True))
    await client.create(PODS, pod_manifest(metadata={"ownerReferences": [owner_of(job)]}))
    await _pods_are_known(client)
    await client.delete(JOBS, "j")

    async def gone() -> bool:
        return await _names(client, JOBS) == []

    await _until(gone)
    assert "ownerReferences" not in (await client.get(PODS, "p"))["metadata"]


async def test_a_namespace_takes_its_content_along(client: Client) -> None:
    going = f"{client.namespace}-going"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": going}})
    await client.create(CONFIG_MAPS, config_map(metadata={"finalizers": ["test.dev/hold"]}), going)
    deleted: dict[str, Any] = await client.delete(NAMESPACES, going)
    assert deleted["status"]["phase"] == "Terminating"
    with pytest.raises(APIError) as refusal:
        await client.create(CONFIG_MAPS, config_map("late"), going)
    assert refusal.value.forbidden

    async def content_goes() -> bool:
        return "deletionTimestamp" in (await client.get(CONFIG_MAPS, "c", going))["metadata"]

    async def gone() -> bool:
        try:
            await client.get(NAMESPACES, going)
        except APIError as error:
            return error.not_found
        return False

    await _until(content_goes)
    await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, namespace=going)
    await _until(gone)
