"""The events of one watch: a stream of lines, each a JSON object.

The connection may be cut anywhere. A line counts only once its end is there; what is left without one was never said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import msgspec

from kubeai.kube.errors import BadAnswer


class Event(msgspec.Struct, frozen=True):
    """ADDED, MODIFIED, DELETED or BOOKMARK with an object, or ERROR with a Status."""

    type: str
    object: msgspec.Raw


_decode = msgspec.json.Decoder(Event).decode


class LineSplitter:
    """Cuts a stream into lines, in time proportional to its length however it is chopped."""

    def __init__(self) -> None:
        #: The chunks of the line that has not ended yet.
        self._open: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk ends."""
        first, newline, rest = chunk.partition(b"\n")
        self._open.append(first)
        if not newline:
            return []
        *lines, last = rest.split(b"\n")
        lines.insert(0, b"".join(self._open))
        self._open = [last]
        return lines


class Watch:
    """The events that one request brings, one after the other."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._splitter = LineSplitter()

        self._lines: deque[bytes] = deque()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        while not self._lines:
            # The end of the body is our end, too.
            self._lines.extend(line for line in self._splitter.feed(await anext(self._body)) if line.strip())
        return _read(self._lines.popleft())


def _read(line: bytes) -> Event:
    try:
        return _decode(line)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"not an event of a watch: {error} in {line[:100]!r}") from error
