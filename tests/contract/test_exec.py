"""What an API server says of commands before a node is asked: neither server here has one."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.resources import PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import pod_manifest

TWO = [{"name": name, "image": "local/echo"} for name in ("one", "two")]


@pytest.mark.parametrize(
    ("spec", "name", "container", "status", "message"),
    [
        pytest.param({}, "none", None, 404, 'pods "none" not found', id="in no Pod"),
        pytest.param({}, "p", "other", 400, "container other is not valid for pod p", id="in no container"),
        pytest.param(
            {"containers": TWO},
            "p",
            None,
            400,
            "a container name must be specified for pod p, choose one of: [one two]",
            id="in one of several containers",
        ),
        pytest.param({}, "p", None, 400, "pod p does not have a host assigned", id="in a Pod that no node has"),
    ],
)
async def test_a_command_is_refused(
    client: Client, spec: dict[str, Any], name: str, container: str | None, status: int, message: str
) -> None:
    await client.create(PODS, pod_manifest(**spec))
    with pytest.raises(APIError) as refusal:
        await client.exec(name, ["true"], container=container)
    assert (refusal.value.status, refusal.value.message) == (status, message)


async def test_discovery_offers_commands(client: Client) -> None:
    listed = await client.raw("GET", "/api/v1")
    (found,) = [entry for entry in listed["resources"] if entry["name"] == "pods/exec"]
    assert (found["kind"], sorted(found["verbs"])) == ("PodExecOptions", ["create", "get"])
