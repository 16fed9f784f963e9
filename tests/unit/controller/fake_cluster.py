"""A Kubernetes API in a dictionary, in the place of the client's transport: no sockets, so time can be virtual.

It knows what the controller relies on (uids, versions, preconditions, the status subresource, finalizers, Pods that
terminate slowly), can be late with its watches, and can refuse.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kubeai.api.k8s.resources import MODELS, PODS, Resource
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError

JSON = dict[str, Any]
START = "2026-01-02T03:04:05Z"


@dataclass(frozen=True)
class Write:
    """One request that changes something."""

    method: str
    kind: str
    name: str
    subresource: str | None = None
    body: Any = None
    #: Nothing is stored.
    dry: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.kind}{f'/{self.subresource}' if self.subresource else ''}"


@dataclass
class FakeCluster:
    #: (plural, name) -> object
    objects: dict[tuple[str, str], JSON] = field(default_factory=dict)
    version: int = 0
    #: How late watches are.
    lag_s: float = 0.0
    writes: list[Write] = field(default_factory=list)
    #: Raises, or returns to let the write pass.
    refuse: Callable[[Write], None] = lambda write: None
    #: What the server makes of a new object before it stores it.
    admit: Callable[[JSON], JSON] = lambda obj: obj
    #: What a container's log says.
    log: bytes = b""
    #: Whether a kubelet stops there, without an end.
    log_stalls: bool = False
    watches: list[tuple[str, asyncio.Queue[bytes]]] = field(default_factory=list)

    def client(self) -> Client:
        client = Client(ClusterAccess(server="http://fake", namespace="default"))
        client.transport = self  # type: ignore[assignment]
        return client

    @property
    def access(self) -> ClusterAccess:
        return ClusterAccess(server="http://fake", namespace="default")

    # What tests do to the cluster.

    def put(self, resource: Resource, obj: JSON) -> JSON:
        """Make or change an object as somebody else would."""
        name = obj["metadata"]["name"]
        old = self.objects.get((resource.plural, name))
        return self._store(resource.plural, merged(old or {}, obj), "MODIFIED" if old else "ADDED")

    def remove(self, resource: Resource, name: str) -> None:
        gone = self.objects.pop((resource.plural, name))
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(resource.plural, "DELETED", gone)

    def of(self, resource: Resource) -> list[JSON]:
        return [obj for (plural, _), obj in self.objects.items() if plural == resource.plural]

    def get(self, resource: Resource, name: str) -> JSON:
        return self.objects[(resource.plural, name)]

    def written(self, *, events: bool = False) -> list[str]:
        return [str(write) for write in self.writes if events or write.kind != "events"]

    # The transport.

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        await asyncio.sleep(0)
        plural, name, subresource = _parts(path)
        if method == "GET":
            items = [obj for (kind, _), obj in self.objects.items() if kind == plural]
            return json.dumps({"metadata": {"resourceVersion": str(self.version)}, "items": items}).encode()
        name = name or body["metadata"]["name"]
        write = Write(method, plural, name, subresource, copy.deepcopy(body), "dryRun" in (params or {}))
        self.writes.append(write)
        self.refuse(write)
        answer = {"POST": self._create, "PATCH": self._patch, "DELETE": self._delete}[method](write)
        return json.dumps(answer).encode()

    @asynccontextmanager
    async def open(self, method: str, path: str, **options: Any) -> AsyncIterator[Any]:
        plural, _, subresource = _parts(path)
        if subresource == "log":
            yield _Answer(_once(self.log, self.log_stalls))
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watches.append((plural, queue))
        yield _Answer(self._lines(queue))

    async def _lines(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        while True:
            yield await queue.get()

    # Verbs.

    def _create(self, write: Write) -> JSON:
        if (write.kind, write.name) in self.objects:
            raise APIError(409, "AlreadyExists", f"{write.kind} {write.name!r} already exists")
        admitted = self.admit(write.body)
        return admitted if write.dry else self._store(write.kind, admitted, "ADDED")

    def _patch(self, write: Write) -> JSON:
        old = self._existing(write)
        metadata = write.body.get("metadata", {})
        if metadata.get("resourceVersion", old["metadata"]["resourceVersion"]) != old["metadata"]["resourceVersion"]:
            raise APIError(409, "Conflict", "the object has been modified")
        # Each half of an object is written through its own door.
        allowed = {k: v for k, v in write.body.items() if (k == "status") == (write.subresource == "status")}
        new: JSON = merged(old, allowed)
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.objects[(write.kind, write.name)] = new
            self.remove(MODELS, write.name)
            return new
        return self._store(write.kind, new, "MODIFIED")

    def _delete(self, write: Write) -> JSON:
        old = self._existing(write)
        if (uid := (write.body or {}).get("preconditions", {}).get("uid")) not in (None, old["metadata"]["uid"]):
            raise APIError(409, "Conflict", f"the uid in the precondition ({uid}) does not match")
        if write.kind == PODS.plural:
            return self._store(write.kind, merged(old, {"metadata": {"deletionTimestamp": START}}), "MODIFIED")
        self.objects.pop((write.kind, write.name))
        self._tell(write.kind, "DELETED", old)
        return dict(old)

    def _existing(self, write: Write) -> JSON:
        try:
            return self.objects[(write.kind, write.name)]
        except KeyError:
            raise APIError(404, "NotFound", f"{write.kind} {write.name!r} not found") from None

    def _store(self, plural: str, obj: JSON, event: str) -> JSON:
        self.version += 1
        defaults = {"uid": f"uid-{self.version}", "namespace": "default", "generation": 1, "creationTimestamp": START}
        metadata = defaults | obj["metadata"] | {"resourceVersion": str(self.version)}
        stored = obj | {"metadata": metadata}
        self.objects[(plural, metadata["name"])] = stored
        self._tell(plural, event, stored)
        return stored

    def _tell(self, plural: str, type: str, obj: JSON) -> None:
        line = json.dumps({"type": type, "object": obj}).encode() + b"\n"
        loop = asyncio.get_running_loop()
        for kind, queue in self.watches:
            if kind == plural:
                loop.call_later(self.lag_s, queue.put_nowait, line)


@dataclass
class _Answer:
    """As much of an HTTP answer as is read of one that streams."""

    lines: AsyncIterator[bytes]

    @property
    def content(self) -> _Answer:
        return self

    def iter_any(self) -> AsyncIterator[bytes]:
        return self.lines


async def _once(data: bytes, stalls: bool) -> AsyncIterator[bytes]:
    yield data
    if stalls:
        await asyncio.Event().wait()


def _parts(path: str) -> tuple[str, str, str | None]:
    """Plural, name and subresource of `/api.../namespaces/default/PLURAL[/NAME[/SUBRESOURCE]]`."""
    plural, name, subresource, *_ = [*path.split("/namespaces/default/")[1].split("/"), "", "", ""]
    return plural, name, subresource or None


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
