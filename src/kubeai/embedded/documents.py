"""The part of the API that is about the server itself: health, version, discovery, schemas, and reviews of access."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from kubeai.embedded import discovery
from kubeai.embedded.kinds import Catalog
from kubeai.embedded.openapi import OpenAPIDocuments
from kubeai.embedded.requests import read_object
from kubeai.embedded.routes import Target
from kubeai.embedded.status import JSONObject, unknown_path

HEALTH_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
_AGGREGATED = "as=APIGroupDiscoveryList"
_AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
#: The only user there is: whoever has the token.
_USER = {"username": "kubeai-admin", "groups": ["system:masters", "system:authenticated"]}


class Documents:
    """Answers that are made from the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._openapi = OpenAPIDocuments(catalog)

    def answer(self, request: web.Request) -> web.Response:
        path = request.path.rstrip("/")
        if path in ("/api", "/apis") and _AGGREGATED in request.headers.get("Accept", ""):
            document = discovery.aggregated(self._catalog, core=path == "/api")
            body = msgspec.json.encode(document)
            return web.Response(body=body, headers={"Content-Type": _AGGREGATED_TYPE})
        if path == "/openapi/v3":
            return _response(self._openapi.index())
        if path.startswith("/openapi/v3/"):
            return _response(_found(self._openapi.document(path.removeprefix("/openapi/v3/"))))
        return _response(msgspec.json.encode(_found(self._document(path))))

    def _document(self, path: str) -> JSONObject | None:
        match path.strip("/").split("/"):
            case ["version"]:
                return discovery.version_info()
            case ["api"]:
                return discovery.core_versions()
            case ["api", version]:
                return discovery.resource_list(self._catalog, "", version)
            case ["apis"]:
                return discovery.group_list(self._catalog)
            case ["apis", group]:
                return discovery.find_group(self._catalog, group)
            case ["apis", group, version]:
                return discovery.resource_list(self._catalog, group, version)
        return None


def is_review(request: web.Request, target: Target) -> bool:
    wanted = (target.group, target.version, target.plural)
    return request.method == "POST" and any(review[:3] == wanted for review in discovery.REVIEWS)


async def review(request: web.Request, target: Target) -> web.Response:
    """Whoever has the token may do everything."""
    body = await read_object(request)
    status = {"userInfo": _USER} if target.plural == "selfsubjectreviews" else {"allowed": True}
    return _response(msgspec.json.encode(body | {"status": status}), 201)


_T = TypeVar("_T")


def _found(document: _T | None) -> _T:
    if document is None:
        raise unknown_path()
    return document


def _response(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
