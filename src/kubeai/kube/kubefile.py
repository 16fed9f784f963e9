"""Kubeconfig files: what they may hold, and how several of them become one.

The rule of merging is kubectl's: for each value and each named entry the first file that has it wins. Paths inside a
file are relative to that file, so they are resolved before files are merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import field

from kubeai.kube.access import AccessError


class Struct(msgspec.Struct, rename="kebab", frozen=True, kw_only=True):
    """Base of all: most keys are in-kebab-case; unknown ones are ignored."""


class Cluster(Struct, frozen=True):
    server: str | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None
    extensions: list[dict[str, Any]] | None = None


class ExecVariable(Struct, frozen=True):
    name: str
    value: str = ""


class Exec(Struct, rename="camel", frozen=True):
    command: str
    api_version: str | None = None
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    install_hint: str | None = None
    interactive_mode: str | None = None
    provide_cluster_info: bool | None = None


class User(Struct, frozen=True):
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = field(name="tokenFile", default=None)
    username: str | None = None
    password: str | None = None
    exec: Exec | None = None
    auth_provider: dict[str, Any] | None = None
    impersonate: str | None = field(name="as", default=None)
    impersonate_uid: str | None = field(name="as-uid", default=None)
    impersonate_groups: list[str] | None = field(name="as-groups", default=None)
    impersonate_extra: dict[str, list[str]] | None = field(name="as-user-extra", default=None)


class Context(Struct, frozen=True):
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class NamedCluster(Struct, frozen=True):
    name: str
    cluster: Cluster | None = None


class NamedUser(Struct, frozen=True):
    name: str
    user: User | None = None


class NamedContext(Struct, frozen=True):
    name: str
    context: Context | None = None


class _File(Struct, frozen=True):
    current_context: str | None = None
    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None


class Kubeconfig(Struct, frozen=True):
    """All files together. All paths are absolute or relative to the working directory."""

    #: For error messages.
    source: str
    current_context: str = ""
    clusters: dict[str, Cluster] = {}
    users: dict[str, User] = {}
    contexts: dict[str, Context] = {}


def read_kubeconfig(paths: Sequence[Path]) -> Kubeconfig:
    """Read and merge. Files that do not exist are skipped, but one must. Raises `AccessError`."""
    source = ", ".join(map(str, paths))
    files = [_resolved(_read(path), path.parent) for path in paths if path.exists()]
    if not files:
        raise AccessError(f"no kubeconfig at {source}: create it, or set KUBECONFIG to where it is")
    return Kubeconfig(
        source=source,
        current_context=next((f.current_context for f in files if f.current_context), ""),
        clusters=_first((c.name, c.cluster or Cluster()) for f in files for c in f.clusters or ()),
        users=_first((u.name, u.user or User()) for f in files for u in f.users or ()),
        contexts=_first((c.name, c.context or Context()) for f in files for c in f.contexts or ()),
    )


_T = TypeVar("_T")


def _first(entries: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for name, entry in entries:
        found.setdefault(name, entry)
    return found


def _read(path: Path) -> _File:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return msgspec.convert({} if content is None else content, _File)
    except OSError as error:
        raise AccessError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AccessError(f"the kubeconfig {path} is not a text file: {error}") from error
    except yaml.YAMLError as error:
        raise AccessError(f"the kubeconfig {path} is not valid YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise AccessError(f"the kubeconfig {path} is not valid: {error}") from error


def _resolved(file: _File, base: Path) -> _File:
    return msgspec.structs.replace(
        file,
        clusters=[msgspec.structs.replace(c, cluster=_cluster_in(c.cluster, base)) for c in file.clusters or ()],
        users=[msgspec.structs.replace(u, user=_user_in(u.user, base)) for u in file.users or ()],
    )


def _cluster_in(cluster: Cluster | None, base: Path) -> Cluster:
    cluster = cluster or Cluster()
    return msgspec.structs.replace(cluster, certificate_authority=_path_in(cluster.certificate_authority, base))


def _user_in(user: User | None, base: Path) -> User:
    user = user or User()
    # A bare command is looked up on PATH; one with a slash is a file beside the kubeconfig.
    command = user.exec and (_path_in(user.exec.command, base) if "/" in user.exec.command else user.exec.command)
    return msgspec.structs.replace(
        user,
        client_certificate=_path_in(user.client_certificate, base),
        client_key=_path_in(user.client_key, base),
        token_file=_path_in(user.token_file, base),
        exec=user.exec and msgspec.structs.replace(user.exec, command=command),
    )


def _path_in(path: str | None, base: Path) -> str | None:
    return str(base / path) if path else None
