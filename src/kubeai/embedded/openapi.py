"""The schemas of what is served, as OpenAPI v3: one document for each version of a group.

`kubectl explain` reads the descriptions; `kubectl apply` and `edit` look whether the server checks fields by itself and
takes strategic merge patches. Documents are made when they are asked for, and kept until the set of kinds changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from kubeai.embedded import scaling
from kubeai.embedded.kinds import Catalog, Kind
from kubeai.embedded.status import JSONObject

_JSON_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_STRATEGIC = "application/strategic-merge-patch+json"


class OpenAPIDocuments:
    """The documents of a catalog, encoded."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._edition = -1
        #: `apis/GROUP/VERSION` or `api/v1` -> document, of the catalog's edition `_edition`
        self._documents: dict[str, bytes] = {}

    def index(self) -> bytes:
        """Where the documents are. The hash in each address changes with the content, so that clients may cache."""
        paths = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(data).hexdigest()[:32].upper()}"}
            for path, data in self._current().items()
        }
        return msgspec.json.encode({"paths": paths})

    def document(self, path: str) -> bytes | None:
        return self._current().get(path)

    def _current(self) -> dict[str, bytes]:
        if self._edition != self._catalog.edition:
            self._documents = dict(_documents(self._catalog))
            self._edition = self._catalog.edition
        return self._documents


def _documents(catalog: Catalog) -> Iterator[tuple[str, bytes]]:
    for group, versions in catalog.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            yield path, msgspec.json.encode(_document(catalog.in_group(group, version)))


def _document(kinds: list[Kind]) -> JSONObject:
    schemas = {_schema_name(kind): kind.schema | {"x-kubernetes-group-version-kind": [_gvk(kind)]} for kind in kinds}
    if any(kind.scale for kind in kinds):
        group, version = scaling.API_VERSION.split("/")
        gvk = {"group": group, "version": version, "kind": "Scale"}
        schemas["io.k8s.api.autoscaling.v1.Scale"] = scaling.SCHEMA | {"x-kubernetes-group-version-kind": [gvk]}
    return {
        "openapi": "3.0.0",
        "info": {"title": "KubeAI embedded cluster", "version": "v1"},
        "paths": {path: operations for kind in kinds for path, operations in _paths(kind)},
        "components": {"schemas": schemas},
    }


def _schema_name(kind: Kind) -> str:
    """`org.kubeai.v1.Model`: the group backwards, as Kubernetes names schemas."""
    group = ".".join(reversed(kind.resource.group.split("."))) or "io.k8s.api.core"
    return f"{group}.{kind.resource.version}.{kind.resource.kind}"


def _gvk(kind: Kind) -> JSONObject:
    return {"group": kind.resource.group, "version": kind.resource.version, "kind": kind.resource.kind}


def _paths(kind: Kind) -> Iterator[tuple[str, JSONObject]]:
    resource = kind.resource
    collection = resource.path("{namespace}" if resource.namespaced else None)
    single = f"{collection}/{{name}}"
    body = {"$ref": f"#/components/schemas/{_schema_name(kind)}"}
    yield collection, {"get": _operation(kind, "list", body), "post": _operation(kind, "post", body, writes=True)}
    patch = _operation(kind, "patch", body, writes=True)
    types = (*_JSON_PATCHES, *(() if kind.custom else (_STRATEGIC,)))
    patch["requestBody"] = {"content": {type: {"schema": {"type": "object"}} for type in types}}
    operations = {"get": _operation(kind, "get", body), "put": _operation(kind, "put", body, writes=True)}
    yield single, operations | {"patch": patch, "delete": _operation(kind, "delete", body)}


def _operation(kind: Kind, action: str, body: JSONObject, *, writes: bool = False) -> JSONObject:
    names = ("dryRun", "fieldManager", "fieldValidation") if writes else ()
    return {
        "operationId": f"{action}{kind.resource.group}{kind.resource.version}{kind.resource.kind}",
        "parameters": [{"name": n, "in": "query", "schema": {"type": "string"}} for n in names],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": body}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
