"""From HTTP to the verbs of the cluster, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from kubeai.embedded import patching, scaling
from kubeai.embedded.cluster import Change, Cluster, Written
from kubeai.embedded.commands import Commands, execute
from kubeai.embedded.kinds import Kind, ScalePaths
from kubeai.embedded.logsource import LogSource, chosen_container
from kubeai.embedded.reading import Page, View, decode_page, encode_page, wanted_form
from kubeai.embedded.requests import (
    content_type,
    delete_options,
    flag,
    number,
    read_body,
    read_object,
    require_manager,
    write_options,
)
from kubeai.embedded.routes import Target
from kubeai.embedded.selection import Selection, parse_selection
from kubeai.embedded.status import (
    JSONObject,
    bad_request,
    conflict,
    method_not_allowed,
    success,
    unknown_path,
    unsupported_media_type,
)
from kubeai.embedded.store import Entry
from kubeai.embedded.watching import BOOKMARK_EVERY_S, Ticker, Watcher, Watchers, bookmark

Verb = Callable[[web.Request, Kind, Target], Awaitable[web.StreamResponse]]
Clock = Callable[[], datetime]
_MAX_WATCH_S = 3600.0
_JSON = "application/json"


class Handlers:
    """The resource part of the API."""

    def __init__(self, cluster: Cluster, watchers: Watchers, logs: LogSource, commands: Commands, clock: Clock) -> None:
        self._cluster = cluster
        self._watchers = watchers
        self._logs = logs
        self._commands = commands
        self._clock = clock
        #: by method, and whether the path names an object
        self._verbs: Mapping[tuple[str, bool], Verb] = {
            ("POST", False): self._create,
            ("PUT", True): self._replace,
            ("PATCH", True): self._patch,
            ("DELETE", True): self._delete,
            ("DELETE", False): self._delete_all,
        }

    async def handle(self, request: web.Request, target: Target) -> web.StreamResponse:
        kind = self._cluster.kind(target.group, target.version, target.plural)
        self._check_path(request, kind, target)
        if target.subresource == "exec" and request.method in ("GET", "POST"):
            entry = self._cluster.get(kind, target.namespace, target.name)
            return await execute(request, entry, self._commands)
        if request.method in ("GET", "HEAD"):
            return await self._read(request, kind, target)
        verb = self._verbs.get((request.method, bool(target.name)))
        if target.subresource == "binding" and request.method == "POST":
            verb = self._bind
        if verb is None:
            raise method_not_allowed(
                f"the server does not allow this method on the requested resource: {request.method}"
            )
        return await verb(request, kind, target)

    def _check_path(self, request: web.Request, kind: Kind, target: Target) -> None:
        namespaced = kind.resource.namespaced
        if target.subresource and target.subresource not in kind.subresources:
            raise unknown_path()
        if (target.namespace and not namespaced) or (target.name and namespaced and not target.namespace):
            raise unknown_path()
        if namespaced and not target.namespace and request.method not in ("GET", "HEAD"):
            raise method_not_allowed(f"{kind.resource.plural} of all namespaces at once can only be read")

    async def _read(self, request: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        if target.name:
            return await self._get(request, kind, target)
        return await self._watch(request, kind, target) if flag(request, "watch") else self._list(request, kind, target)

    # reading

    def _view(self, request: web.Request, kind: Kind) -> View:
        form = wanted_form(request.headers.get("Accept", ""))
        return View(kind, form, request.query.get("includeObject", "Metadata"))

    def _selection(self, request: web.Request, kind: Kind, target: Target) -> Selection:
        query = request.query
        return parse_selection(kind, target.namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))

    async def _get(self, request: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        entry = self._cluster.get(kind, target.namespace, target.name)
        if target.subresource == "log":
            return await self._log(request, entry)
        if target.subresource == "scale" and kind.scale:
            return _json(scaling.read_scale(kind.scale, entry.obj))
        return _answer(self._view(request, kind).encode(entry, self._clock()))

    def _list(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        entries = self._cluster.select(kind, self._selection(request, kind, target))
        store = self._cluster.store
        version, limit = store.version, number(request, "limit")
        metadata: JSONObject = {}
        if token := request.query.get("continue", ""):
            page = decode_page(token, store.oldest)
            # Later pages show the present, under the version of the first: a watch from there tells the rest.
            version = page.version
            entries = [e for e in entries if (e.key.namespace, e.key.name) > (page.namespace, page.name)]
        if limit and 0 < limit < len(entries):
            metadata["remainingItemCount"] = len(entries) - limit
            entries = entries[:limit]
            last = entries[-1].key
            metadata["continue"] = encode_page(Page(version, last.namespace, last.name))
        metadata["resourceVersion"] = str(version)
        return _answer(self._view(request, kind).encode_list(entries, metadata, self._clock()))

    async def _watch(self, request: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        view = self._view(request, kind)
        watcher = Watcher(self._selection(request, kind, target), lambda entry: view.encode(entry, self._clock()))
        version = number(request, "resourceVersion")
        initial = flag(request, "sendInitialEvents")
        since = None if initial or not version else version
        bookmarks = flag(request, "allowWatchBookmarks") and view.form != "table"
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        timeout_s = min(float(number(request, "timeoutSeconds") or _MAX_WATCH_S), _MAX_WATCH_S)
        self._watchers.open(kind.key, watcher, since)
        if initial and bookmarks:
            watcher.send(self._bookmark(kind, initial=True))
        ending = asyncio.get_running_loop().call_later(timeout_s, watcher.end)
        marks = Ticker(BOOKMARK_EVERY_S, lambda: watcher.send(self._bookmark(kind))) if bookmarks else None
        try:
            await _send_all(request, response, watcher.chunks())
        finally:
            ending.cancel()
            if marks is not None:
                marks.stop()
            self._watchers.close(kind.key, watcher)
        return response

    def _bookmark(self, kind: Kind, *, initial: bool = False) -> bytes:
        resource = kind.resource
        return bookmark(resource.api_version, resource.kind, self._cluster.store.version, initial=initial)

    async def _log(self, request: web.Request, entry: Entry) -> web.StreamResponse:
        container = chosen_container(entry.obj, request.query.get("container", ""))
        chunks = self._logs.open(
            entry.key.namespace,
            entry.key.name,
            entry.uid,
            container,
            follow=flag(request, "follow"),
            tail_lines=number(request, "tailLines"),
            previous=flag(request, "previous"),
        )
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        try:
            first = await anext(chunks, b"")
        except FileNotFoundError as error:
            raise bad_request(str(error)) from error
        await _send_all(request, response, _with_first(first, chunks))
        return response

    # writing

    async def _create(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        obj = await read_object(request)
        written = self._cluster.create(kind, target.namespace, obj, write_options(request, self._clock()))
        return self._written(request, kind, written)

    async def _replace(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        body = await read_object(request)
        return self._update(request, kind, target, lambda obj: body, scale=lambda scale: body)

    async def _patch(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        type = content_type(request)
        body = await read_body(request)
        if type != patching.APPLY:
            change = patching.change_of(kind, type, body)
            return self._update(request, kind, target, change, scale=change)
        if target.subresource == "scale":
            raise unsupported_media_type("the scale subresource takes JSON and merge patches")
        if not isinstance(body, dict):
            raise bad_request("the configuration to apply must be an object")
        require_manager(request)
        options = write_options(request, self._clock())
        where = (target.namespace, target.name)
        return self._written(request, kind, self._cluster.apply(kind, *where, body, options, target.subresource))

    def _update(self, request: web.Request, kind: Kind, target: Target, change: Change, scale: Change) -> web.Response:
        options = write_options(request, self._clock())
        where = (target.namespace, target.name)
        if target.subresource == "scale" and kind.scale:
            rescale = _rescale(kind, kind.scale, scale)
            written = self._cluster.update(kind, *where, rescale, options, through="scale")
            return _json(scaling.scale_of(kind.scale, written.entry.obj))
        return self._written(request, kind, self._cluster.update(kind, *where, change, options, target.subresource))

    async def _bind(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        """What schedulers do: say on which node a Pod runs."""
        binding = await read_object(request)
        node = (binding.get("target") or {}).get("name")
        if not node:
            raise bad_request("target.name: Required value")

        def bind(pod: JSONObject) -> JSONObject:
            if pod["spec"].get("nodeName"):
                why = f'pod {target.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
                raise conflict(kind.resource, target.name, why)
            return pod | {"spec": pod["spec"] | {"nodeName": node}}

        options = write_options(request, self._clock())
        self._cluster.update(kind, target.namespace, target.name, bind, options)
        return _json(success(), 201)

    async def _delete(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        if target.subresource:
            raise method_not_allowed("subresources cannot be deleted")
        options = await delete_options(request, self._clock())
        written = self._cluster.delete(kind, target.namespace, target.name, options)
        if written.removed and kind.key != "pods":
            resource, entry = kind.resource, written.entry
            details = {"name": entry.key.name, "group": resource.group, "kind": resource.plural, "uid": entry.uid}
            return _json(success({name: value for name, value in details.items() if value}))
        return self._written(request, kind, written)

    async def _delete_all(self, request: web.Request, kind: Kind, target: Target) -> web.Response:
        options = await delete_options(request, self._clock())
        selected = self._cluster.select(kind, self._selection(request, kind, target))
        deleted = [self._cluster.delete(kind, e.key.namespace, e.key.name, options).entry for e in selected]
        metadata = {"resourceVersion": str(self._cluster.store.version)}
        return _answer(View(kind, "object").encode_list(deleted, metadata, self._clock()))

    def _written(self, request: web.Request, kind: Kind, written: Written) -> web.Response:
        response = _answer(
            self._view(request, kind).encode(written.entry, self._clock()), 201 if written.created else 200
        )
        for warning in written.warnings:
            response.headers.add("Warning", f'299 - "{_quoted(warning)}"')
        return response


def _rescale(kind: Kind, paths: ScalePaths, change: Change) -> Change:
    return lambda obj: scaling.scaled(kind, paths, obj, change(scaling.scale_of(paths, obj)))


async def _send_all(request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[bytes]) -> None:
    """Stream to the end of `chunks`, or until the reader has gone: that is everyday life, and no failure."""
    with suppress(ConnectionError):
        await response.prepare(request)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _answer(data: bytes, status: int = 200) -> web.Response:
    return web.Response(body=data, status=status, content_type=_JSON)


def _json(obj: Any, status: int = 200) -> web.Response:
    return _answer(msgspec.json.encode(obj), status)
