"""The verbs of the Kubernetes API, for any resource. Objects go in and come out as plain dicts.

`namespace=None` means the access's namespace, `namespace=""` all of them (or a resource that has none). Every verb
raises `APIError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from kubeai.api.k8s.resources import PODS, Resource
from kubeai.kube.access import ClusterAccess
from kubeai.kube.errors import BadAnswer, BadNameError
from kubeai.kube.exec import PROTOCOLS, Exec, Finished, collect, exec_params
from kubeai.kube.paging import PAGE_SIZE, Page, pages
from kubeai.kube.transport import Transport
from kubeai.kube.watch import Watch

JSONObject = dict[str, Any]
#: Named, because in `Client` the word `list` is a verb.
Objects = list[JSONObject]
PatchType = Literal["merge", "json", "strategic", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]

_PATCH_CONTENT_TYPES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    # The type says YAML, of which JSON is a part.
    "apply": "application/apply-patch+yaml",
}
_decode = msgspec.json.Decoder(JSONObject).decode


class Client:
    """One API server. `async with Client(access) as client`."""

    def __init__(self, access: ClusterAccess) -> None:
        #: For what has no verb: bytes in and out.
        self.transport = Transport(access)

    async def __aenter__(self) -> Client:
        await self.transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.transport.__aexit__(kind, error, trace)

    @property
    def access(self) -> ClusterAccess:
        return self.transport.access

    @property
    def namespace(self) -> str:
        """Where objects live when no namespace is named."""
        return self.transport.access.namespace

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> JSONObject:
        return await self._call("GET", self._path(resource, namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        may_lag: bool = False,
    ) -> Objects:
        """All objects that match, read in pages. Each says its kind, as it would alone.

        With `may_lag` the server answers from its cache as it is. Without, it first waits until its cache has caught up
        with its store, which takes a real one some 40 ms.
        """
        found: Objects = []
        pages = self.pages(resource, namespace, labels=labels, fields=fields, may_lag=may_lag)
        async with aclosing(pages) as listed:
            async for page in listed:
                if page.first:
                    found.clear()
                for raw in page.items:
                    found.append({"apiVersion": resource.api_version, "kind": resource.kind, **_object(raw)})
        return found

    def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        size: int = PAGE_SIZE,
        may_lag: bool = False,
    ) -> AsyncGenerator[Page, None]:
        """The raw items of a list, page by page; see `paging`. Close it if you leave before its end."""
        path, selectors = self._path(resource, namespace), _selectors(labels, fields)
        if may_lag:
            selectors["resourceVersion"] = "0"

        def fetch(params: Mapping[str, str]) -> Awaitable[bytes]:
            return self.transport.request("GET", path, params={**selectors, **params})

        return pages(fetch, size)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str,
        timeout_s: float,
    ) -> AsyncIterator[Watch]:
        """Changes after `resource_version`, until the server ends it, which it is asked to do after `timeout_s`."""
        params = {
            **_selectors(labels, fields),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(timeout_s))),
        }
        async with self.transport.open("GET", self._path(resource, namespace), params=params) as answer:
            yield Watch(answer.content.iter_any())

    async def create(
        self, resource: Resource, obj: JSONObject, namespace: str | None = None, *, dry_run: bool = False
    ) -> JSONObject:
        """Without `namespace`, the object's own is taken, then the access's."""
        path = self._path(resource, namespace or _metadata(obj).get("namespace"))
        return await self._call("POST", path, _kinded(resource, obj), {"dryRun": "All"} if dry_run else {})

    async def replace(self, resource: Resource, obj: JSONObject, *, subresource: str | None = None) -> JSONObject:
        """Write the whole object. With a resourceVersion in it, only onto that version (else 409)."""
        metadata = _metadata(obj)
        path = self._path(resource, metadata.get("namespace"), metadata.get("name", ""), subresource)
        return await self._call("PUT", path, obj if subresource == "scale" else _kinded(resource, obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        type: PatchType = "merge",
        field_manager: str = "kubeai",
        force: bool = False,
    ) -> JSONObject:
        """`force` takes fields over from other managers; it exists with type "apply" only."""
        path = self._path(resource, namespace, name, subresource)
        params = {"fieldManager": field_manager} | ({"force": "true"} if force else {})
        return await self._call("PATCH", path, patch, params, _PATCH_CONTENT_TYPES[type])

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
    ) -> JSONObject:
        """With `uid` only that very object, not a later one of the same name (409)."""
        options: JSONObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return await self._call("DELETE", self._path(resource, namespace, name), options)

    async def logs(
        self,
        name: str,
        namespace: str | None = None,
        *,
        container: str | None = None,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """A container's output in chunks as they come. Close it (`aclosing`) if you leave before its end."""
        params = {
            "container": container,
            "follow": "true" if follow else None,
            "tailLines": None if tail_lines is None else str(tail_lines),
            "previous": "true" if previous else None,
        }
        given = {key: value for key, value in params.items() if value is not None}
        async with self.transport.open("GET", self._path(PODS, namespace, name, "log"), params=given) as answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    @asynccontextmanager
    async def start_exec(
        self,
        name: str,
        command: Sequence[str],
        namespace: str | None = None,
        *,
        container: str | None = None,
        stdin: bool = False,
    ) -> AsyncIterator[Exec]:
        """A command in a container of the Pod, while it runs. Leaving early cuts the connection to it."""
        what = f"exec of {command[0]} in {name}{f'/{container}' if container else ''}"
        path, params = self._path(PODS, namespace, name, "exec"), exec_params(command, container, stdin=stdin)
        async with self.transport.websocket(path, params=params, protocols=PROTOCOLS) as socket:
            yield Exec(socket, what, stdin=stdin)

    async def exec(
        self,
        name: str,
        command: Sequence[str],
        namespace: str | None = None,
        *,
        container: str | None = None,
        stdin: bytes | None = None,
    ) -> Finished:
        """Run a command to its end; there is no time-out. Without `stdin` it has no input at all."""
        opened = stdin is not None
        async with self.start_exec(name, command, namespace, container=container, stdin=opened) as running:
            return await collect(running, stdin)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> JSONObject:
        """Any request that has no verb here, for example GET `/version`."""
        return await self._call(method, path, body, params, content_type)

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> JSONObject:
        return _object(await self.transport.request(method, path, params=params, body=body, content_type=content_type))

    def _path(
        self, resource: Resource, namespace: str | None, name: str | None = None, subresource: str | None = None
    ) -> str:
        where = self.namespace if namespace is None else namespace
        if name is not None:
            _check_name(resource, name)
        return quote(resource.path(where, name, subresource))


def _check_name(resource: Resource, name: str) -> None:
    # An empty name would make the collection of it, and "delete" a matter of everything.
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise BadNameError(f"{name!r} cannot be the name of one of {resource.group_plural}")


def _object(data: bytes | msgspec.Raw) -> JSONObject:
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"the server's answer is no JSON object: {error}") from error


def _metadata(obj: JSONObject) -> JSONObject:
    metadata: JSONObject = obj.get("metadata") or {}
    return metadata


def _kinded(resource: Resource, obj: JSONObject) -> JSONObject:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}


def _selectors(labels: str, fields: str) -> dict[str, str]:
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in selectors.items() if value}
