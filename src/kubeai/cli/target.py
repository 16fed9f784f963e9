"""Finds whom to talk to: the cluster's API server, and the gateway. The same order for all verbs."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import CLIError

if TYPE_CHECKING:
    from kubeai.kube.access import ClusterAccess

DEFAULT_URL = "http://127.0.0.1:8000"
#: Base URLs that OpenAI clients are given; the gateway's own is what stands before them.
_API_PATHS = ("/openai/v1", "/v1", "/openai")


def data_directory(given: Path | None = None) -> Path:
    """`given`, else KUBEAI_DATA_DIR, else the place that the XDG directories have for it."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get("KUBEAI_DATA_DIR")
    return Path(named).expanduser() if named else default_data_directory()


def default_data_directory() -> Path:
    """Where data is kept when nobody says anything."""
    shared = os.environ.get("XDG_DATA_HOME")
    return (Path(shared) if shared else Path.home() / ".local" / "share") / "kubeai"


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What the command line says about the cluster."""

    kubeconfig: Path | None = None
    data_dir: Path | None = None
    namespace: str | None = None


def find_cluster(target: Target) -> ClusterAccess:
    """What is said on the command line wins, then KUBECONFIG, a `kubeai up` that runs, in-cluster, ~/.kube/config."""
    from kubeai.kube.kubeconfig import load_kubeconfig

    if target.kubeconfig is not None:
        access = load_kubeconfig(target.kubeconfig)
    elif target.data_dir is not None:
        access = load_kubeconfig(_local_kubeconfig(data_directory(target.data_dir)))
    elif not os.environ.get("KUBECONFIG") and is_running(data_directory()):
        access = load_kubeconfig(_local_kubeconfig(data_directory()))
    else:
        access = _elsewhere()
    return dataclasses.replace(access, namespace=target.namespace) if target.namespace else access


def _local_kubeconfig(directory: Path) -> Path:
    path = directory / "kubeconfig"
    if not path.exists():
        raise CLIError(f"no `kubeai up` has run with the data directory {directory}: start it, or name another")
    return path


def _elsewhere() -> ClusterAccess:
    from kubeai.kube.access import AccessError
    from kubeai.kube.kubeconfig import find_access

    try:
        return find_access()
    except AccessError as error:
        if os.environ.get("KUBECONFIG"):
            raise
        raise CLIError(
            "no cluster found: start one with `kubeai up`, or name one with --kubeconfig or KUBECONFIG"
        ) from error


def is_running(directory: Path) -> bool:
    """Whether the process that locked the data directory last is alive. It is not asked for the lock itself: taking
    it, if only for a moment, could keep a `kubeai up` from starting."""
    try:
        os.kill(int((directory / "lock").read_text(encoding="ascii")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return (directory / "kubeconfig").exists()


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # of what stands where the port belongs, too
        return False


def gateway_url(url: str | None = None, data_dir: Path | None = None) -> str:
    """`url`, else the running instance's, else where a gateway listens by default."""
    endpoint = data_directory(data_dir) / "endpoint"
    if url is None and endpoint.exists():
        url = endpoint.read_text(encoding="ascii").strip()
    url = (url or DEFAULT_URL).rstrip("/")
    if not url.startswith(("http://", "https://")) or not _has_host(url):
        raise CLIError(f"{url!r} is not a URL of a gateway: it must start with http:// or https://")
    for path in _API_PATHS:
        url = url.removesuffix(path)
    return url
