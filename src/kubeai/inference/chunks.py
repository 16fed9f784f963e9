"""Chunks of an answer that can be told from their bytes, without a parser.

Engines send most events of a stream one by one, each in a chunk of its own. To parse it, and to put the same frame
around it again for the client, would cost more than all else that is done for it.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Of a chunk with its frame.
_MAX_BYTES = 4096
_CRLF = b"\r\n"
#: An empty line ends an event.
_EVENT_END = b"\n\n" + _CRLF


def _beginnings() -> list[bytes | tuple[bytes, bytes]]:
    """Size of a whole chunk -> how it begins, as the size of its body is certain then: in small letters or in large."""
    found: list[bytes | tuple[bytes, bytes]] = [()] * (_MAX_BYTES + 1)  # type: ignore[list-item]  # () begins nothing
    for size in range(1, _MAX_BYTES):
        small, large = b"%x\r\n" % size, b"%X\r\n" % size
        whole = len(small) + size + len(_CRLF)
        if whole <= _MAX_BYTES:
            found[whole] = small if small == large else (small, large)
    return found


_BEGINNINGS = _beginnings()


def is_event_chunk(data: bytes) -> bool:
    """Whether what follows a chunk is one whole chunk more, not a large one, that ends with the end of an event."""
    return len(data) <= _MAX_BYTES and data.startswith(_BEGINNINGS[len(data)]) and data.endswith(_EVENT_END)


def ends_chunk(data: bytes, pieces: Sequence[bytes]) -> bool:
    """Whether `data`, of which a parser made these pieces of a body, certainly ends with the end of a chunk.

    Behind the last piece stands nothing but the end of its chunk then. A piece that looks like such an end itself may
    be the beginning of a longer one, and one that ends no event may look like the size of the next chunk.
    """
    if not pieces or not data.endswith(_EVENT_END) or pieces[-1].endswith(_CRLF):
        return False
    return data.endswith(pieces[-1], 0, len(data) - len(_CRLF))
