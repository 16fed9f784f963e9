"""Adapters on a real node: commands in the loader's container bring the files, and the server is told to take them."""

from __future__ import annotations

import pytest

from kubeai.api.k8s.resources import MODELS

from .load import ask, problems
from .site import S3_KEYS, Site, paced

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


async def test_an_adapter_is_loaded_into_a_running_server_and_taken_out_again(site: Site, s3_url: str) -> None:
    """With nothing to write to but the volume for adapters, and no user's rights."""
    await site.install({"secrets": S3_KEYS})
    adapter = {"name": "ad", "url": "s3://models/adapter"}
    model = paced(minReplicas=1, maxReplicas=1, adapters=[adapter], env={"AWS_ENDPOINT_URL": s3_url})
    await site.create(model)
    url = await site.url()
    base, adapted = await ask(url, "paced"), await ask(url, "paced_ad")
    assert problems([base, adapted]) == []
    assert (base.model, adapted.model) == ("paced", "ad")

    adapter["name"] = "other"
    await site.client.patch(MODELS, "paced", {"spec": {"adapters": [adapter]}})
    await site.known("paced_other")
    other = await ask(url, "paced_other")
    assert (other.problem, other.model, other.servers) == ("", "other", base.servers), "the server went on running"
    assert "404" in (await ask(url, "paced_ad")).error
