"""A Pod's service account: a token and the cluster's authority in files that the kubelet keeps fresh.

Both are rotated while we run. A new authority makes a new TLS context, which the next connection uses; an authority
that cannot be read or is none leaves the last one in place.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from kubeai.kube.access import AccessError, Credential
from kubeai.kube.tls import TLS
from kubeai.kube.tokenfile import TokenFile

log = logging.getLogger(__name__)


class ServiceAccount:
    """Credentials from the directory that a cluster mounts into its Pods."""

    def __init__(self, directory: Path) -> None:
        """Raises `AccessError` if there is no authority to begin with."""
        self._token = TokenFile(directory / "token")
        self._file = directory / "ca.crt"
        self._authority = self._read()
        self.ssl_context = TLS(self._authority).context()

    async def current(self) -> Credential:
        credential = await self._token.current()
        return Credential(credential.authorization, self._context())

    def refused(self, credential: Credential) -> bool:
        return self._token.refused(Credential(credential.authorization))

    def _context(self) -> ssl.SSLContext:
        try:
            found = self._read()
            if found != self._authority:
                # Remembered also when it is no good, so that it is complained about once.
                self._authority = found
                self.ssl_context = TLS(found).context()
                log.info("the cluster's authority in %s has changed", self._file)
        except AccessError as error:
            log.warning("%s; the last one is used", error)
        return self.ssl_context

    def _read(self) -> str:
        try:
            return self._file.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise AccessError(f"the service account's authority {self._file} cannot be read: {error}") from error
