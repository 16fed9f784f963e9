"""From configuration to `ClusterAccess`: kubeconfig files, or the service account of the Pod that we run in."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from kubeai.kube import kubefile
from kubeai.kube.access import AccessError, ClusterAccess, Credential, Credentials, StaticCredentials, bearer
from kubeai.kube.kubefile import Cluster, Kubeconfig, User, read_kubeconfig
from kubeai.kube.plugin import VERSIONS, Plugin, PluginCredentials
from kubeai.kube.proxy import checked_proxy, environment_proxy
from kubeai.kube.serviceaccount import ServiceAccount
from kubeai.kube.tls import TLS
from kubeai.kube.tokenfile import TokenFile

#: Where Kubernetes mounts a Pod's service account.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: The extension of a cluster that its credential plugin is told.
_PLUGIN_EXTENSION = "client.authentication.k8s.io/exec"


def find_access(environ: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT) -> ClusterAccess:
    """The cluster of KUBECONFIG, else the one that we run in, else the one of ~/.kube/config."""
    if not environ.get("KUBECONFIG") and environ.get("KUBERNETES_SERVICE_HOST") and service_account.is_dir():
        return in_cluster(environ, service_account)
    return _access(read_kubeconfig(_default_paths(environ)), None, environ)


def load_kubeconfig(path: Path | None = None, context: str | None = None) -> ClusterAccess:
    """The cluster of a file (else of KUBECONFIG, else of ~/.kube/config), in a context (else the current one)."""
    return _access(read_kubeconfig([path] if path else _default_paths(os.environ)), context, os.environ)


def in_cluster(environ: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT) -> ClusterAccess:
    """The cluster that this Pod runs in, as its service account."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise AccessError("KUBERNETES_SERVICE_HOST is not set: this process does not run in a cluster")
    try:
        namespace = (service_account / "namespace").read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise AccessError(f"the service account at {service_account} cannot be read: {error}") from error
    account = ServiceAccount(service_account)
    return ClusterAccess(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace or "default",
        account.ssl_context,
        account,
    )


def _default_paths(environ: Mapping[str, str]) -> list[Path]:
    listed = [Path(path) for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return listed or [Path.home() / ".kube" / "config"]


def _access(config: Kubeconfig, context_name: str | None, environ: Mapping[str, str]) -> ClusterAccess:
    name = context_name or config.current_context
    if not name:
        raise AccessError(f"{config.source}: current-context is not set; choose one of {_names(config.contexts)}")
    context = _entry(config, "context", config.contexts, name)
    cluster = _entry(config, "cluster", config.clusters, context.cluster or "")
    # A context without a user is anonymous.
    user = _entry(config, "user", config.users, context.user) if context.user else User()
    try:
        return _combine(cluster, user, context.namespace or "default", environ)
    except AccessError as error:
        raise AccessError(f"{config.source}: context {name}: {error}") from error


_T = TypeVar("_T")


def _entry(config: Kubeconfig, kind: str, entries: Mapping[str, _T], name: str) -> _T:
    if name not in entries:
        raise AccessError(f"{config.source}: there is no {kind} {name!r}; there are {_names(entries)}")
    return entries[name]


def _names(entries: Mapping[str, object]) -> str:
    return ", ".join(sorted(entries)) or "none"


def _combine(cluster: Cluster, user: User, namespace: str, environ: Mapping[str, str]) -> ClusterAccess:
    server = (cluster.server or "").rstrip("/")
    try:
        scheme = urlsplit(server).scheme
    except ValueError as error:
        raise AccessError(f"the cluster's server {server!r} is no URL: {error}") from error
    if scheme not in ("http", "https"):
        raise AccessError(f"the cluster's server {server!r} must begin with https:// or http://")
    tls = _tls(cluster, user)
    return ClusterAccess(
        server,
        namespace,
        tls.context() if server.startswith("https") else None,
        _credentials(cluster, user, tls),
        cluster.tls_server_name,
        _proxy(cluster, server, environ),
        tuple(_impersonation(user)),
    )


def _tls(cluster: Cluster, user: User) -> TLS:
    return TLS(
        _pem("certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority),
        bool(cluster.insecure_skip_tls_verify),
        _pem("client-certificate", user.client_certificate_data, user.client_certificate),
        _pem("client-key", user.client_key_data, user.client_key),
    )


def _pem(key: str, data: str | None, path: str | None) -> str | None:
    """Inline data wins over a file, as in kubectl."""
    try:
        if data:
            in_one_line = data.replace("\r", "").replace("\n", "")  # kubectl passes over line ends, and nothing else
            return base64.b64decode(in_one_line, validate=True).decode("utf-8")
        return Path(path).read_text(encoding="utf-8") if path else None
    except (binascii.Error, UnicodeDecodeError) as error:
        raise AccessError(f"{key}{'-data' if data else ''} is not a PEM text: {error}") from error
    except OSError as error:
        raise AccessError(f"{key}: {path} cannot be read: {error.strerror}") from error


def _proxy(cluster: Cluster, server: str, environ: Mapping[str, str]) -> str | None:
    if cluster.proxy_url:
        return checked_proxy(cluster.proxy_url, "proxy-url")
    return environment_proxy(server, environ)


def _credentials(cluster: Cluster, user: User, tls: TLS) -> Credentials:
    if user.token_file:
        return TokenFile(Path(user.token_file), first=user.token)
    if user.token:
        return StaticCredentials(bearer(user.token))
    if user.username:
        return StaticCredentials(_basic(user.username, user.password or ""))
    if user.exec:
        return PluginCredentials(_plugin(cluster, user.exec, tls), tls)
    if user.auth_provider:
        raise AccessError("auth-provider is no longer supported by Kubernetes: use a credential plugin (exec)")
    return StaticCredentials()


def _basic(username: str, password: str) -> Credential:
    return Credential("Basic " + base64.b64encode(f"{username}:{password}".encode()).decode())


def _plugin(cluster: Cluster, exec: kubefile.Exec, tls: TLS) -> Plugin:
    if exec.api_version not in VERSIONS:
        raise AccessError(f"exec.apiVersion {exec.api_version!r} must be one of {', '.join(VERSIONS)}")
    if exec.interactive_mode not in (None, "Never", "IfAvailable", "Always"):
        raise AccessError(f"exec.interactiveMode {exec.interactive_mode!r} must be Never, IfAvailable or Always")
    return Plugin(
        exec.command,
        exec.api_version,
        exec.args or (),
        {variable.name: variable.value for variable in exec.env or ()},
        exec.install_hint or "",
        exec.interactive_mode or "IfAvailable",
        _cluster_info(cluster, tls) if exec.provide_cluster_info else None,
    )


def _cluster_info(cluster: Cluster, tls: TLS) -> dict[str, Any]:
    """The authority is always given as data, so that a plugin has no file to find."""
    extension = next((e for e in cluster.extensions or () if e.get("name") == _PLUGIN_EXTENSION), {})
    info = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": tls.authority and base64.b64encode(tls.authority.encode()).decode(),
        "proxy-url": cluster.proxy_url,
        "config": extension.get("extension"),
    }
    return {key: value for key, value in info.items() if value}


def _impersonation(user: User) -> Iterator[tuple[str, str]]:
    if user.impersonate:
        yield "Impersonate-User", user.impersonate
    if user.impersonate_uid:
        yield "Impersonate-Uid", user.impersonate_uid
    for group in user.impersonate_groups or ():
        yield "Impersonate-Group", group
    for key, values in (user.impersonate_extra or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(key, safe='')}", value
