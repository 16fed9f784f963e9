"""Recognising a message whose head came before.

On a kept connection clients and engines send the same head again and again; only the length of the body differs. A
head that the parser has accepted and read once need not be parsed again when it comes back byte for byte: what it
means is known. This is for whole messages with a length that arrive in one read, which most are; everything else goes
through the parser.
"""

from __future__ import annotations

import re

_LENGTH = re.compile(rb"\r\ncontent-length: (\d{1,9})\r\n", re.IGNORECASE)


class KnownHead:
    """One connection's last head, but for the digits of Content-Length."""

    __slots__ = ("_after", "_before")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""

    def learn(self, message: bytes) -> bool:
        """Remember the head of this whole message, which the parser has accepted. False if it can't be used."""
        end = message.find(b"\r\n\r\n") + 4
        found = _LENGTH.search(message, 0, end)
        if found is None or len(message) != end + int(found[1]):
            self._before = b""
            return False
        start, stop = found.span(1)
        self._before, self._after = message[:start], message[stop:end]
        return True

    def body_start(self, data: bytes) -> int:
        """Where the body begins, if `data` is one whole message with the known head; 0 if it is anything else."""
        before, after = self._before, self._after
        if not before or not data.startswith(before):
            return 0
        stop = data.find(b"\r", len(before), len(before) + 10)
        if stop < 0 or not data.startswith(after, stop):
            return 0
        digits = data[len(before) : stop]
        start = stop + len(after)
        return start if digits.isdigit() and len(data) == start + int(digits) else 0
