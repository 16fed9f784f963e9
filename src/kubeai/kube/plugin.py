"""Credential plugins: a program that a kubeconfig names prints a token or a certificate for us.

Cloud clusters are reached this way. The program may be slow (it asks a cloud) or ask the user something, so it is run
only if there is no credential, the last one has expired, or the server refused it; and once for all who wait.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from kubeai.kube.access import AccessError, Credential, bearer
from kubeai.kube.tls import TLS

_GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
#: A request made with a credential must still be under way before it expires.
_MARGIN = timedelta(seconds=10)
#: A plugin that asks the user gets the time that a person needs.
_INTERACTIVE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a kubeconfig says of a plugin."""

    command: str
    api_version: str
    args: Sequence[str] = ()
    #: Added to our own environment.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Told to the user where the command is missing.
    install_hint: str = ""
    #: Never, IfAvailable or Always: whether it may read our terminal.
    interactive_mode: str = "IfAvailable"
    #: `spec.cluster` of what the plugin is told, if it wants to know.
    cluster: Mapping[str, Any] | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Answer(msgspec.Struct, rename="camel"):
    api_version: str | None = None
    kind: str | None = None
    status: _Status | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PluginCredentials:
    """Credentials that a plugin hands out, kept until they expire."""

    def __init__(
        self, plugin: Plugin, tls: TLS, *, timeout_s: float = 60.0, now: Callable[[], datetime] = _utc_now
    ) -> None:
        """`tls` is the cluster's, to which a certificate of the plugin is added. `timeout_s` is for a plugin that asks
        nobody.
        """
        self._timeout_s = timeout_s
        self._plugin = plugin
        self._tls = tls
        self._now = now
        self._lock = asyncio.Lock()
        self._credential: Credential | None = None
        #: None: it is good until the server refuses it.
        self._expires: datetime | None = None

    async def current(self) -> Credential:
        async with self._lock:
            if self._credential is None or (self._expires and self._now() >= self._expires - _MARGIN):
                status = _read(self._plugin, await _run(self._plugin, self._timeout_s))
                self._credential, self._expires = self._convert(status), status.expiration_timestamp
            return self._credential

    def refused(self, credential: Credential) -> bool:
        if self._credential is credential:
            self._credential = None
        return True

    def _convert(self, status: _Status) -> Credential:
        context = None
        if status.client_certificate_data:
            context = TLS(
                self._tls.authority, self._tls.insecure, status.client_certificate_data, status.client_key_data
            ).context()
        return Credential(bearer(status.token).authorization if status.token else None, context)


async def _run(plugin: Plugin, timeout_s: float) -> bytes:
    interactive = _interactive(plugin)
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.args,
            stdin=None if interactive else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # A user who is asked something must see it; otherwise the text belongs into our error.
            stderr=None if interactive else asyncio.subprocess.PIPE,
            env={**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": _question(plugin, interactive)},
        )
    except OSError as error:
        hint = plugin.install_hint.strip() or "install it, or correct users[].user.exec.command in the kubeconfig"
        raise AccessError(f"the credential plugin {plugin.command} cannot be run: {error}; {hint}") from error
    return await _output(plugin, process, _INTERACTIVE_TIMEOUT_S if interactive else timeout_s)


async def _output(plugin: Plugin, process: asyncio.subprocess.Process, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise AccessError(f"the credential plugin {plugin.command} did not answer in {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = (err or b"")[-500:].decode(errors="replace").strip()
        raise AccessError(f"the credential plugin {plugin.command} failed with {process.returncode}: {text}")
    return out


def _interactive(plugin: Plugin) -> bool:
    terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not terminal:
        raise AccessError(f"the credential plugin {plugin.command} needs a terminal (interactiveMode: Always)")
    return terminal and plugin.interactive_mode != "Never"


def _question(plugin: Plugin, interactive: bool) -> str:
    """What the plugin is told, in its environment."""
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.cluster is not None:
        spec["cluster"] = dict(plugin.cluster)
    return msgspec.json.encode({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}).decode()


def _read(plugin: Plugin, output: bytes) -> _Status:
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.DecodeError as error:
        raise AccessError(f"the credential plugin {plugin.command} printed no ExecCredential: {error}") from error
    if answer.kind != "ExecCredential" or answer.api_version != plugin.api_version:
        raise AccessError(
            f"the credential plugin {plugin.command} printed {answer.api_version} {answer.kind}, but the kubeconfig "
            f"asks for {plugin.api_version} ExecCredential: set users[].user.exec.apiVersion to what it speaks"
        )
    status = answer.status or _Status()
    if not (status.token or status.client_certificate_data):
        raise AccessError(f"the credential plugin {plugin.command} gave neither a token nor a certificate")
    return status
