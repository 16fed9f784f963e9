"""Server-sent events as OpenAI streams them, out of bytes that may be cut anywhere."""

from __future__ import annotations

DONE = "[DONE]"


class Events:
    """Feed it bytes, and it gives the data of each event that is complete."""

    def __init__(self) -> None:
        self._rest = b""
        #: Data lines of the event that is being read.
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[str]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            data = self._line(line.removesuffix(b"\r"))
            if data is not None:
                found.append(data)
        return found

    def _line(self, line: bytes) -> str | None:
        """The event's data if this line ends one. Comments and other fields are of no interest."""
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" ").decode(errors="replace"))
        if line or not self._data:
            return None
        data, self._data = "\n".join(self._data), []
        return data
