"""A token in a file that somebody else keeps fresh, as the kubelet does for service accounts.

The file is read for each request: it is tiny and in memory (a projected volume), and so no schedule of rotation has to
be guessed. While it can't be read the last token is used: it may well be valid still.
"""

from __future__ import annotations

import logging
from pathlib import Path

from kubeai.kube.access import AccessError, Credential, bearer

log = logging.getLogger(__name__)


class TokenFile:
    """Credentials from a file."""

    def __init__(self, path: Path, first: str | None = None) -> None:
        """`first` is used until the file could be read."""
        self._path = path
        self._token = first
        self._readable = True

    async def current(self) -> Credential:
        try:
            self._token = self._read()
            self._readable = True
        except (OSError, ValueError) as error:
            self._unreadable(error)
        return bearer(self._token or "")

    def refused(self, credential: Credential) -> bool:
        """The file may have been replaced between our reading and the server's answer."""
        try:
            return bearer(self._read()) != credential
        except (OSError, ValueError):
            return False

    def _read(self) -> str:
        token = self._path.read_text(encoding="ascii").strip()
        if not token:
            raise ValueError("it is empty")
        return token

    def _unreadable(self, error: Exception) -> None:
        if not self._token:
            raise AccessError(f"the token file {self._path} cannot be read: {error}") from error
        if self._readable:
            log.warning("the token file %s cannot be read, its last token is used: %s", self._path, error)
        self._readable = False
