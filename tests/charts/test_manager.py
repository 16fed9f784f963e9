"""The manager itself, with the chart's configuration, under the chart's service account, on a real API server.

Any refusal by RBAC would leave the Model without its Pod, its status or its Events.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from kubeai.api.k8s.resources import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    MODELS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICE_ACCOUNTS,
    Resource,
)
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes.api_server import running
from scripts.kubernetes.models import models_are_served

from .helm import KUBEAI, helm

pytestmark = pytest.mark.kubernetes

JSON = dict[str, Any]

DEADLINE_S = 60
MODEL: JSON = {
    "apiVersion": "kubeai.org/v1",
    "kind": "Model",
    "metadata": {"name": "m"},
    "spec": {
        "features": ["TextGeneration"],
        "engine": "VLLM",
        "url": "hf://org/name",
        "resourceProfile": "cpu:1",
        "cacheProfile": "nfs",
        "minReplicas": 1,
        "files": [{"path": "/f", "content": "x"}],
    },
}


CACHES: JSON = {"cacheProfiles": {"nfs": {"sharedFilesystem": {"storageClassName": "nfs"}}}}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running(tmp_path_factory.mktemp("kubernetes")) as server:
        helm("--kubeconfig", server.kubeconfig, "install", "kubeai", KUBEAI, values=CACHES)
        yield server.kubeconfig


async def token_of(client: Client, account: str) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    where = SERVICE_ACCOUNTS.path(client.namespace, account, "token")
    return str((await client.raw("POST", where, body=request))["status"]["token"])


def write_files(directory: Path, admin: Path, system: JSON, token: str) -> None:
    """The configuration, and a kubeconfig that authenticates with the token."""
    kubeconfig = yaml.safe_load(admin.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    (directory / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    (directory / "system.yaml").write_text(yaml.safe_dump(system))


@asynccontextmanager
async def manager(
    client: Client, admin: Path, directory: Path, verb: str = "manager", account: str = "kubeai"
) -> AsyncIterator[Path]:
    """Runs it, or a part of it; gives its log."""
    directory = directory / verb
    directory.mkdir()
    system = yaml.safe_load((await client.get(CONFIG_MAPS, "kubeai-config"))["data"]["system.yaml"])
    system |= {"metricsAddr": "127.0.0.1:0", "healthAddress": "127.0.0.1:0"}
    write_files(directory, admin, system, await token_of(client, account))
    options = ["--config", directory / "system.yaml", "--kubeconfig", directory / "kubeconfig"]
    where = () if verb == "operator" else ("--host", "127.0.0.1", "--port", "0")
    command = [sys.executable, "-m", "kubeai", verb, *options, *where]
    log = directory / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*map(str, command), stdout=output, stderr=output)
        try:
            yield log
        finally:
            process.terminate()
            assert await process.wait() == 0


async def eventually(client: Client, resource: Resource, found: Callable[[list[JSON]], bool], log: Path) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not found(await client.list(resource)):  # noqa: ASYNC110 - another process's work
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{resource.plural} never came to be as expected; the manager says:\n{read(log)}")


def read(log: Path) -> str:
    return log.read_text()


def some(prefix: str) -> Callable[[list[JSON]], bool]:
    return lambda objects: any(obj["metadata"]["name"].startswith(prefix) for obj in objects)


def none(prefix: str) -> Callable[[list[JSON]], bool]:
    return lambda objects: not some(prefix)(objects)


async def pretend_loaded(client: Client, model: str) -> None:
    """There is no node that would run the Job."""
    uid = (await client.get(MODELS, model))["metadata"]["uid"]
    record = {f"models.kubeai.org/{model}": f'{{"uid": "{uid}"}}'}
    patch = {"metadata": {"annotations": record}}
    await client.patch(PERSISTENT_VOLUME_CLAIMS, "shared-model-cache-nfs", patch)


# fault R2
async def test_the_role_lets_the_manager_do_its_work(admin: Path, tmp_path: Path) -> None:
    async with Client(load_kubeconfig(admin)) as client, manager(client, admin, tmp_path) as log:
        await models_are_served(client)
        await client.create(MODELS, MODEL)
        await eventually(client, PODS, some("load-cache-m-"), log)
        await pretend_loaded(client, "m")
        await eventually(client, PODS, some("model-m-"), log)
        await eventually(client, MODELS, lambda models: bool(models[0].get("status", {}).get("conditions")), log)
        await eventually(client, EVENTS, some("m."), log)
        await eventually(client, LEASES, some("kubeai"), log)
        await client.patch(MODELS, "m", {"spec": {"minReplicas": 0, "replicas": 0, "files": None}})
        await eventually(client, PODS, none("model-m-"), log)
        await eventually(client, CONFIG_MAPS, none("model-m-"), log)
        await client.delete(MODELS, "m")
        await eventually(client, PODS, some("evict-cache-m-"), log)
        assert "orbidden" not in read(log)


async def ask(log: Path, model: str) -> None:
    """Send a request to the gateway that writes this log, as soon as it knows the Model."""
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as http:
        url = f"http://{await says(log, r'serving the API on ([0-9.:]+)')}/openai/v1"
        while True:
            async with http.get(f"{url}/models") as answer:
                if model in await answer.text():
                    break
            await asyncio.sleep(0.1)
        async with http.post(f"{url}/chat/completions", json={"model": model, "messages": []}):
            pytest.fail("nobody was there to answer")


async def says(log: Path, pattern: str) -> str:
    while not (found := re.search(pattern, read(log))):  # noqa: ASYNC110 - another process's work
        await asyncio.sleep(0.1)
    return found[1]


# fault R2
async def test_the_parts_do_their_work_with_roles_of_their_own_also_in_watched_namespaces(
    admin: Path, tmp_path: Path
) -> None:
    values = CACHES | {"operator": {"separate": True}, "watchNamespaces": ["team"]}
    access = load_kubeconfig(admin)
    async with Client(access) as client, Client(replace(access, namespace="team")) as team:
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        helm("--kubeconfig", admin, "upgrade", "kubeai", KUBEAI, values=values)
        async with (
            manager(client, admin, tmp_path, "operator", "kubeai") as operator,
            manager(client, admin, tmp_path, "gateway", "kubeai-gateway") as gateway,
        ):
            model = MODEL | {"spec": MODEL["spec"] | {"minReplicas": 0, "cacheProfile": None}}
            await team.create(MODELS, model)
            request = asyncio.create_task(ask(gateway, "team/m"))
            await eventually(team, PODS, some("model-m-"), operator)
            await eventually(team, CONFIG_MAPS, some("model-m-"), operator)
            await eventually(team, EVENTS, some("m."), operator)
            (pod,) = await team.list(PODS)
            assert pod["spec"]["serviceAccountName"] == "kubeai-models"
            assert await client.list(PODS, labels="app=model") == []
            request.cancel()
            assert "orbidden" not in read(operator) + read(gateway)
