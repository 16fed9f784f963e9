"""A list of any length, read page by page without holding more than one of them.

A continue token is only good for some minutes. If it goes stale (410) in the middle, the pages so far belong to a
state that can't be finished: the list begins again, then in one piece, because that always comes to an end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from kubeai.kube.errors import APIError, BadAnswer

PAGE_SIZE = 500

#: GET of the list with these query parameters.
Fetch = Callable[[Mapping[str, str]], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    #: True: what came before, if anything, is void.
    first: bool
    items: list[msgspec.Raw]
    #: The state that the list shows. After the last page, a watch can go on from it.
    resource_version: str


class _ListMeta(msgspec.Struct, rename="camel", frozen=True):
    resource_version: str | None = None
    continue_: str | None = msgspec.field(name="continue", default=None)


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMeta | None = None
    items: list[msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_List).decode


async def pages(fetch: Fetch, size: int = PAGE_SIZE) -> AsyncGenerator[Page, None]:
    limit = {"limit": str(size)}
    token = ""
    while True:
        try:
            found = _read(await fetch({**limit, "continue": token} if token else limit))
        except APIError as error:
            if not (error.gone and token):
                raise
            limit, token = {}, ""
            continue
        metadata = found.metadata or _ListMeta()
        yield Page(not token, found.items or [], metadata.resource_version or "")
        token = metadata.continue_ or ""
        if not token:
            return


def _read(body: bytes) -> _List:
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"the server's answer is no list: {error}") from error
