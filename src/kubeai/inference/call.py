"""A request on its way to an engine: what it asks for is known, and every byte that the engine will get."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from kubeai.access.caller import ANYONE, Caller
from kubeai.api.model import Model
from kubeai.api.openai.routes import Route

from .directory import Directory, parse_selectors, require_feature, target_at_engine
from .multipart import read_form
from .prefix import prefix_text
from .request import Asked, Body, Buffer, Edit, ModelFinder, edited, model_edit, usage_edit

#: Kinds of requests that have `stream_options`.
_STREAM_OPTIONS = frozenset({"chat", "completion"})
_ACCEPT_ENCODING = re.compile(rb"^accept-encoding:[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)


class Call(msgspec.Struct):
    """One request for a Model, through any door."""

    model: Model
    adapter: str | None
    #: `NAME` or `NAME_ADAPTER`, as the client wrote it; NAME is the Model's address (`api.address`).
    requested: str
    #: The door, as the metrics name it: http or message.
    request_type: str
    request_id: bytes
    #: Path and query at the engine.
    target: bytes
    #: The engine's headers as lines, without Host, Content-Length and X-Request-Id.
    lines: bytes
    #: In pieces, and their sizes together.
    body: Sequence[Buffer]
    size: int
    #: For PrefixHash: what the request begins with.
    prefix: str
    #: Who asks: told apart from others by `identity`, with a `priority` while it waits.
    caller: Caller = ANYONE
    #: The gateway asked for the usage of the stream, and the client had not.
    strips_usage: bool = False
    #: While it waits.
    priority: int = 0
    #: It asks for a stream of events.
    streams: bool = False
    #: How often the client is told that it still waits; 0: never.
    heartbeat_s: float = 0.0

    # What became of it, for those who look on:

    #: The endpoint that was tried last.
    endpoint: str = ""
    retries: int = 0
    #: How long it was at endpoints that have failed, and did not wait.
    served_s: float = 0.0
    #: Loop time; 0: no answer began.
    first_byte_at: float = 0.0
    #: Of the prompt and of the answer; None: nobody counted.
    tokens: tuple[int, int] | None = None

    @property
    def address(self) -> str:
        """The Model's own part of `requested`."""
        return self.requested.partition("_")[0]


class Inspector:
    """Turns what came through a door into a `Call`."""

    def __init__(self, directory: Directory, *, counts_usage: bool = True) -> None:
        """`counts_usage`: whoever is known by a key has his streams asked for what they took."""
        self._directory = directory
        self._counts_usage = counts_usage
        self._finder = ModelFinder()

    def inspect(
        self,
        route: Route,
        target: bytes,
        content_type: bytes,
        selectors: Sequence[bytes],
        lines: bytes,
        body: Body,
        *,
        caller: Caller = ANYONE,
        request_type: str,
        request_id: bytes,
    ) -> Call:
        """Raises `OpenAIError`: 400 for what cannot be understood or served by this Model, 404 for no such Model, 403
        for one that is not for the caller.

        `target` is the route's path and a query; `selectors` are label selectors that the Model must match; `lines`
        the headers for the engine.
        """
        if route.body == "multipart":
            form = read_form(content_type.decode("latin-1"), body)
            asked, pieces = Asked(form.model), form.body
        else:
            asked, pieces = self._finder.find(body), (body,)
        requested = asked.model
        model, adapter = self._directory.find(requested, parse_selectors(selectors) if selectors else ())
        if caller.selector is not None:
            caller.require(model.labels, requested)
        require_feature(model, requested, route.features)
        if route.engines:
            target = target_at_engine(model, requested, route, target)
        edits: list[Edit] = []
        known_as = adapter or model.name  # by the engine
        if known_as != requested and route.body == "json":
            edits.append(model_edit(body, known_as))
        usage = self._usage_edit(route, caller, body, asked) if asked.stream else None
        if usage is not None:
            edits.append(usage)
            lines = _ACCEPT_ENCODING.sub(b"", lines)  # what is packed cannot be taken out of
        if edits:
            pieces = edited(body, edits)
        prefix = ""
        balancing = model.spec.load_balancing
        if balancing.strategy == "PrefixHash":
            prefix = prefix_text(route.kind, body, balancing.prefix_hash.prefix_char_length)
        size = len(body) if pieces[0] is body else sum([len(piece) for piece in pieces])
        return Call(
            model,
            adapter,
            requested,
            request_type,
            request_id,
            target,
            lines,
            pieces,
            size,
            prefix,
            caller,
            usage is not None,
            streams=asked.stream is True,
        )

    def _usage_edit(self, route: Route, caller: Caller, body: Body, asked: Asked) -> Edit | None:
        """Bytes pass as they came unless somebody has to account for them."""
        if caller is ANYONE or not self._counts_usage or route.kind not in _STREAM_OPTIONS:
            return None
        return usage_edit(body, asked)
