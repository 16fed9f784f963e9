"""KubeAI's own service account and its rights, as the chart gives them, in the namespace of a test."""

from __future__ import annotations

import ssl
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kubeai.api.k8s.resources import SERVICE_ACCOUNTS, Resource
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.tokenfile import TokenFile
from scripts.kubernetes.api_server import APIServer
from tests.charts.helm import KUBEAI, helm

_ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
_ACCOUNT = "kubeai"
_NAMESPACE = "the-namespace"
#: File of the account's token.
_TOKEN = "token"


async def as_kubeai(access: ClusterAccess, server: APIServer, directory: Path) -> ClusterAccess:
    """Make the chart's account in the namespace of `access`, and be it."""
    async with Client(access) as admin:
        for resource, obj in _objects(access.namespace):
            await admin.create(resource, obj)
        path = SERVICE_ACCOUNTS.path(access.namespace, _ACCOUNT, "token")
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        token = directory / _TOKEN
        token.write_text((await admin.raw("POST", path, body=request))["status"]["token"])
    # The server's certificate is trusted as before, and the administrator's own is not shown.
    trust = ssl.create_default_context(cafile=str(server.authority.certificate("ca")))
    return replace(access, ssl_context=trust, credentials=TokenFile(token))


def kubeconfig_of_kubeai(kubeconfig: Path, directory: Path) -> Path:
    """A kubeconfig for the same server, as the account that `as_kubeai` has made."""
    config = yaml.safe_load(kubeconfig.read_text())
    for named in config["users"]:
        named["user"] = {"tokenFile": str(directory / _TOKEN)}
    path = directory / "kubeconfig-of-kubeai"
    path.write_text(yaml.safe_dump(config))
    return path


def _objects(namespace: str) -> list[tuple[Resource, dict[str, Any]]]:
    kinds = {resource.kind: resource for resource in (SERVICE_ACCOUNTS, _ROLES, _BINDINGS)}
    return [
        (kinds[obj["kind"]], obj)
        for obj in yaml.safe_load_all(_rendered().replace(_NAMESPACE, namespace))
        if obj and obj["metadata"]["name"] == _ACCOUNT
    ]


@cache
def _rendered() -> str:
    only = [word for name in ("serviceaccounts", "role") for word in ("--show-only", f"templates/{name}.yaml")]
    return helm("template", "release", KUBEAI, "--namespace", _NAMESPACE, *only)
