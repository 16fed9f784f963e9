"""Commands in containers, through a real kubelet and a real container runtime: adapters are loaded by them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from kubeai.api.k8s.resources import PODS
from kubeai.kube.exec import Finished

from .site import STRICT, Site

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

#: More than fits into one message, and every byte there is.
BYTES = bytes(range(256)) * 512 + os.urandom(300_000)


@pytest.fixture
async def pod(site: Site) -> AsyncIterator[str]:
    image = "localhost/kubeai-model-loader:test"
    container = {"name": "c", "image": image, "command": ["sleep", "infinity"], "securityContext": STRICT}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    await site.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits"}, "spec": spec})
    await site.kubectl("wait", "pod/waits", "--for=condition=Ready", "--timeout=60s")
    yield "waits"
    await site.client.delete(PODS, "waits")


async def test_bytes_and_exit_codes_come_back_as_they_are(site: Site, pod: str) -> None:
    said = await site.client.exec(pod, ["sh", "-c", "cat; echo no >&2; exit 3"], stdin=BYTES)
    assert said == Finished(3, BYTES, b"no\n")


async def test_a_command_without_input_has_none(site: Site, pod: str) -> None:
    assert await site.client.exec(pod, ["sh", "-c", "cat; echo done"]) == Finished(0, b"done\n", b"")
