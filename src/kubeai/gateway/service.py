"""What the gateway answers to which path, and which requests go on to an engine.

Only paths that are listed exist: they are compared as they are, without decoding or tidying, so that no spelling of
another path can reach an engine's own endpoints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, unquote

from kubeai.access.books import Books, asked_of
from kubeai.access.caller import Caller
from kubeai.access.credentials import LOOPBACK, is_within
from kubeai.access.gate import Gate
from kubeai.api.k8s.selectors import LabelSelector
from kubeai.api.openai.document import openapi
from kubeai.api.openai.errors import OpenAIError, forbidden, invalid_request, method_not_allowed, not_found_path
from kubeai.api.openai.routes import ROUTES, Route
from kubeai.config.system import GatewaySettings
from kubeai.inference.call import Call, Inspector
from kubeai.inference.directory import Directory, parse_selectors
from kubeai.telemetry.registry import CONTENT_TYPE, Metrics

from .cors import CORS
from .receiver import Request
from .response import TEXT, Reply, error_reply, json_reply

Page = Callable[[Request], Reply]

_MODELS = ROUTES["/v1/models"]
_HEARTBEAT = b"x-kubeai-stream-heartbeat"
_PRIORITY = b"x-kubeai-priority"
_INTEGER = re.compile(rb"-?[0-9]{1,3}")
_READ = (b"GET", b"HEAD")


class Service:
    """The paths of one gateway."""

    def __init__(
        self,
        directory: Directory,
        metrics: Metrics,
        ready: Callable[[], str | None],
        cors: CORS | None,
        gate: Gate,
        books: Books | None,
        settings: GatewaySettings,
    ) -> None:
        self._directory = directory
        self._cors = cors
        self._metrics = metrics
        self._ready = ready
        self._gate = gate
        self._books = books
        self._accepts_priority = settings.priority_header
        self._heartbeat_s = settings.stream_heartbeat_s
        self._inspector = Inspector(directory, counts_usage=books is not None)
        inference = [route for route in ROUTES.values() if route.method == "POST"]
        self._routes: Mapping[bytes, tuple[Route, bytes]] = {
            spelled: (route, route.path.encode("ascii")) for route in inference for spelled in _spellings(route)
        }
        pages: dict[str, Page] = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._render}
        pages["/openapi.json"] = self._document
        pages["/usage"] = self._usage
        self._pages = {path.encode("ascii"): page for path, page in pages.items()}
        self._pages |= dict.fromkeys(_spellings(_MODELS), self._models)
        self._model_prefixes = tuple(path + b"/" for path in _spellings(_MODELS))

    def admit(self, request: Request) -> Reply | None:
        """Judge a request by its head alone: a reply means that its body does not matter."""
        path = request.path
        if path in self._routes and request.method == b"POST":
            try:
                self._gate.identify(request.head.presented)
            except OpenAIError as error:
                return error_reply(error, path)
            return None
        return self._refusal(request, path)

    def serve(self, request: Request, request_id: bytes) -> Reply | Call:
        """Raises `OpenAIError`."""
        path, question, query = request.target.partition(b"?")
        found = self._routes.get(path)
        if found is None or request.method != b"POST":
            page = self._page(path)
            if page is None or request.method not in _READ:
                return self._refusal(request, path) or error_reply(_unknown(request, path), path)
            return page(request)
        route, own_path = found
        caller = self._gate.identify(request.head.presented)
        call = self._inspector.inspect(
            route,
            own_path + question + query,
            request.head.content_type,
            request.head.selectors,
            request.head.lines,
            request.body,
            caller=caller,
            request_type="http",
            request_id=request_id,
        )
        call.priority = caller.priority
        own = request.head.own
        if own and self._accepts_priority:
            call.priority = _priority(own, caller.priority)
        if call.streams and request.http11 and (own or self._heartbeat_s):
            call.heartbeat_s = _heartbeat_s(own, self._heartbeat_s)
        return call

    def _page(self, path: bytes) -> Page | None:
        page = self._pages.get(path)
        if page is None and path.startswith(self._model_prefixes):
            return self._model
        return page

    def _refusal(self, request: Request, path: bytes) -> Reply | None:
        exists = path in self._routes or self._page(path) is not None
        if not exists:
            return error_reply(_unknown(request, path), path)
        preflight = request.head.preflight
        if self._cors is not None and preflight is not None and request.method == b"OPTIONS":
            return self._cors.preflight(request.head.origin, preflight, path)
        if path in self._routes:
            return _wrong_method(request, path, b"POST")
        return None if request.method in _READ else _wrong_method(request, path, b"GET, HEAD")

    def _models(self, request: Request) -> Reply:
        try:
            query = parse_qs(request.query.decode("latin-1"), max_num_fields=100)
        except ValueError as error:
            raise invalid_request(f"The query cannot be understood: {error}.") from None
        caller = self._gate.identify(request.head.presented)
        entries = self._directory.entries(query.get("feature", []), _selectors(request, caller))
        return json_reply({"object": "list", "data": entries})

    def _model(self, request: Request) -> Reply:
        name = unquote(request.path.partition(_MODELS.path.encode("ascii") + b"/")[2].decode("latin-1"))
        caller = self._gate.identify(request.head.presented)
        return json_reply(self._directory.entry(name, _selectors(request, caller)))

    def _document(self, _: Request) -> Reply:
        return json_reply(openapi())

    def _usage(self, request: Request) -> Reply:
        """What requests took; who shows a key sees its own."""
        caller = self._gate.identify(request.head.presented)
        asked = asked_of(request.query.decode("latin-1"))
        if self._gate.guarded:
            if asked.key not in (None, caller.name):
                raise forbidden("The usage of another key is not for this one.")
            asked = asked._replace(key=caller.name)
        if self._books is None:
            raise not_found_path("GET", "/usage")
        return json_reply(self._books.report(asked))

    def _health(self, _: Request) -> Reply:
        return Reply(200, b"ok", TEXT)

    def _readiness(self, _: Request) -> Reply:
        reason = self._ready()
        return Reply(200, b"ok", TEXT) if reason is None else Reply(503, reason.encode(), TEXT)

    def _render(self, request: Request) -> Reply:
        """Names of keys and Models are not for everybody: once keys are asked for, for this machine only."""
        head = request.head
        if self._gate.guarded and (head.proxied or not is_within(head.peer.decode("ascii"), LOOPBACK)):
            return error_reply(forbidden("Metrics are served on the metrics port."), request.path)
        page = self._metrics.page(request.query.decode("latin-1"))
        return Reply(200, page, CONTENT_TYPE.encode("ascii"))


def _priority(own: Mapping[bytes, bytes], default: int) -> int:
    """What the request says of its priority. Raises `OpenAIError` (400)."""
    said = own.get(_PRIORITY)
    if said is None:
        return default
    if not _INTEGER.fullmatch(said) or abs(int(said)) > 100:
        raise invalid_request("The header X-KubeAI-Priority must be a number from -100 to 100.")
    return int(said)


def _heartbeat_s(own: Mapping[bytes, bytes], default: float) -> float:
    """How often the client wants to hear of a stream that has not begun. Raises `OpenAIError` (400)."""
    said = own.get(_HEARTBEAT)
    if said is None:
        return default
    if not _INTEGER.fullmatch(said) or not 0 <= int(said) <= 600:
        raise invalid_request("The header X-KubeAI-Stream-Heartbeat must be a number of seconds, at most 600.")
    return float(said)


def _spellings(route: Route) -> list[bytes]:
    return [path.encode("ascii") for path in route.spellings]


def _selectors(request: Request, caller: Caller) -> Sequence[LabelSelector]:
    """What the request asks for and what its caller may see; both must match."""
    own = [caller.selector] if caller.selector is not None else []
    return own + parse_selectors(request.head.selectors)


def _unknown(request: Request, path: bytes) -> OpenAIError:
    return not_found_path(request.method.decode("ascii"), path.decode("latin-1"))


def _wrong_method(request: Request, path: bytes, allowed: bytes) -> Reply:
    error = method_not_allowed(request.method.decode("ascii"), path.decode("latin-1"))
    return error_reply(error, path, ((b"allow", allowed),))
