"""Who one is to a real API server, and what RBAC lets one do."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, PODS, SERVICE_ACCOUNTS
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.kube.kubeconfig import load_kubeconfig
from kubeai.kube.tokenfile import TokenFile
from scripts.kubernetes.api_server import APIServer
from tests.builders import config_map

pytestmark = pytest.mark.kubernetes

ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces"
DEADLINE_S = 60


async def test_a_client_certificate_names_a_user_without_rights(access: ClusterAccess, real_server: APIServer) -> None:
    stranger = replace(load_kubeconfig(real_server.kubeconfig_of("stranger")), namespace=access.namespace)
    async with Client(stranger) as client:
        with pytest.raises(APIError) as refusal:
            await client.list(PODS)
    assert refusal.value.forbidden
    assert 'User "stranger" cannot list resource "pods"' in refusal.value.message


async def test_a_service_account_may_do_what_its_role_says(
    client: Client, real_server: APIServer, tmp_path: Path
) -> None:
    await _allow(client, "default", "configmaps", "get", "create")
    token = tmp_path / "token"
    token.write_text(await _token(client, "default"))
    # The server's certificate is trusted as before, and the administrator's own is not shown.
    trust = ssl.create_default_context(cafile=str(real_server.authority.certificate("ca")))
    access = replace(client.transport.access, ssl_context=trust, credentials=TokenFile(token))
    async with Client(access) as pod:
        await _until_allowed(pod)
        await pod.create(CONFIG_MAPS, config_map())
        assert (await pod.get(CONFIG_MAPS, "c"))["metadata"]["name"] == "c"
        for forbidden in (pod.delete(CONFIG_MAPS, "c"), pod.list(PODS)):
            with pytest.raises(APIError) as refusal:
                await forbidden
            assert refusal.value.forbidden
        token.write_text("no-longer-good")  # tokens rotate under a running client
        with pytest.raises(APIError) as stale:
            await pod.get(CONFIG_MAPS, "c")
        assert stale.value.status == 401
        token.write_text(await _token(client, "default"))
        await pod.get(CONFIG_MAPS, "c")


async def test_a_certificate_of_another_authority_is_not_trusted(access: ClusterAccess) -> None:
    async with Client(ClusterAccess(access.server)) as client:
        with pytest.raises(ConnectionFailed, match="certificate"):
            await client.list(PODS)


async def _allow(client: Client, account: str, resource: str, *verbs: str) -> None:
    api = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    rules = [{"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}]
    await client.raw(
        "POST", f"{ROLES}/{client.namespace}/roles", body=api | {"metadata": {"name": "r"}, "rules": rules}
    )
    subject = {"kind": "ServiceAccount", "name": account, "namespace": client.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    binding = api | {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": role}
    await client.raw("POST", f"{ROLES}/{client.namespace}/rolebindings", body=binding)


async def _until_allowed(pod: Client) -> None:
    """Whoever decides that learns of new roles by watches of its own."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await pod.get(CONFIG_MAPS, "c")
            except APIError as error:
                if error.not_found:
                    return
                if not error.forbidden:
                    raise
            await asyncio.sleep(0.02)


async def _token(client: Client, account: str) -> str:
    path = SERVICE_ACCOUNTS.path(client.namespace, account, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    return str((await client.raw("POST", path, body=request))["status"]["token"])
