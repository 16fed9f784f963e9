"""Weights in a container image, which a real kubelet and a real container runtime mount as a volume."""

from __future__ import annotations

import asyncio

import pytest

from kubeai.api.k8s.resources import MODELS

from .site import Site, extract_weights, name_of, smollm2

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

IMAGE = "localhost/smollm2:test"


@pytest.fixture
async def weights(site: Site) -> str:
    """The path of the weights in the image, which the node has."""
    file = await asyncio.to_thread(extract_weights, site.cluster.images.cache)
    archive = await asyncio.to_thread(site.cluster.images.holding, file, "/weights/", IMAGE)
    await asyncio.to_thread(site.cluster.node.load_image, archive)
    return f"weights/{file.name}"


async def test_a_model_out_of_an_image_wakes_and_answers(site: Site, weights: str) -> None:
    await site.create(smollm2(site.index_url, url=f"oci://{IMAGE}?path={weights}"))
    assert await site.servers("smollm2") == []
    assert "Paris" in await site.capital_of_france()
    (pod,) = await site.pods("model=smollm2")
    assert "initContainers" not in pod["spec"], "nobody but the node has brought the weights"
    mounts = (await site.kubectl.run("exec", name_of(pod), "--", "cat", "/proc/mounts")).out.splitlines()
    (options,) = [options for _, place, _, options, *_ in map(str.split, mounts) if place == "/model"]
    assert "ro" in options.split(",")


async def test_an_image_that_no_node_has_is_told_like_that_of_a_server(site: Site, weights: str) -> None:
    url = f"oci://localhost/nothing:test?path={weights}"
    await site.create(smollm2(site.index_url, url=f"{url}&pull=false", minReplicas=1))

    async def told(status: str, reason: str) -> bool:
        conditions = (await site.model("smollm2")).get("status", {}).get("conditions", ())
        return (status, reason) in [(c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"]

    await site.eventually("the Model says so", lambda: told("False", "ImagePullFailed"))
    await site.client.patch(MODELS, "smollm2", {"spec": {"url": f"oci://{IMAGE}?path={weights}&pull=false"}})
    await site.eventually("the Model serves", lambda: told("True", "Ready"))
