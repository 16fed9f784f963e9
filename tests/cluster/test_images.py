"""The images as a real kubelet runs them: nobody's user, nothing to write to, and a bill of what is in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.sbom import canonical, pins
from kubeai.api.k8s.resources import PODS
from scripts.kubernetes.images import ROOT, Images

from .load import ask
from .site import GATEWAYS, STRICT, Site, is_ready, paced, smollm2

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

JSON = dict[str, Any]
LOCKS = {
    "kubeai": "components/manager/requirements.txt",
    "kubeai-model-loader": "components/model-loader/requirements.txt",
}


@pytest.mark.parametrize("image", sorted(LOCKS))
async def test_the_bill_of_materials_lists_every_locked_package(site: Site, image: str) -> None:
    """Read as anybody reads it, by a container that is as restricted as can be."""
    name = f"bill-{image}"
    command = ["/opt/kubeai/bin/python", "-c", "print(open('/opt/kubeai/sbom.cdx.json').read())"]
    container = {"name": "c", "image": f"localhost/{image}:test", "command": command, "securityContext": STRICT}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    await site.client.create(PODS, pod | {"spec": {"restartPolicy": "Never", "containers": [container]}})
    await site.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    listed = json.loads((await site.kubectl("logs", name)).out)["components"]
    found = {part["name"]: part["version"] for part in listed if part.get("purl", "").startswith("pkg:pypi/")}
    locked = pins((ROOT / LOCKS[image]).read_text())
    assert {canonical(name): found.get(name) for name in locked} == locked
    assert "kubeai" in found
    assert any(part.get("purl", "").startswith("pkg:deb/debian/libc6@") for part in listed)
    await site.client.delete(PODS, name)


async def test_nobody_runs_as_root_or_writes_to_an_image(site: Site) -> None:
    await site.create(smollm2(site.index_url, minReplicas=1))
    await site.create(paced(minReplicas=1))
    url = await site.url()
    assert (await ask(url, "paced")).problem == ""

    async def all_ready() -> bool:
        servers = await site.pods("app=model")
        return len(servers) == 2 and all(map(is_ready, servers))

    await site.eventually("both Models have their server", all_ready)
    pods = [*await site.pods(GATEWAYS), *await site.pods("app=model")]
    assert len(pods) == 4
    for pod in pods:
        containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in containers)
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        probe = ["sh", "-c", "id -u; touch /opt/x"]
        said = await site.kubectl.run("exec", pod["metadata"]["name"], "--", *probe)
        assert said.out.strip() == "65532"
        assert "Read-only file system" in said.err


def test_a_release_is_not_built_on_a_base_without_a_digest() -> None:
    for dockerfile in (ROOT / "Dockerfile", ROOT / "components/model-loader/Dockerfile"):
        with pytest.raises(RuntimeError, match="a release needs a BASE with @sha256"):
            Images().build("localhost/release:test", dockerfile, arguments={"RELEASE": "1"})
