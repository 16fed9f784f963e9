"""TLS towards one API server: whom we trust and which certificate we show.

Certificates come inline (base64 in a kubeconfig, PEM from a plugin) or as files; here they are PEM text already.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from kubeai.kube.access import AccessError


@dataclass(frozen=True, slots=True)
class TLS:
    """Settings that make a context."""

    #: PEM of the authorities; without them the system's own are trusted.
    authority: str | None = None
    #: Trust any server. Only ever because a kubeconfig says so.
    insecure: bool = False
    #: PEM of the client's certificate and its key.
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """Raises `AccessError`."""
        try:
            context = ssl.create_default_context(cadata=self.authority)
        except (ssl.SSLError, ValueError) as error:
            raise AccessError(f"the certificate authority is not valid PEM: {error}") from error
        # Python 3.13 turned this on; the authorities that clusters make for themselves often lack the extensions
        # that it asks for, and the chain is verified all the same.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate or self.key:
            self._load_client_certificate(context)
        return context

    def _load_client_certificate(self, context: ssl.SSLContext) -> None:
        if not (self.certificate and self.key):
            raise AccessError("a client certificate needs both the certificate and its key")
        try:
            # The ssl module takes a client certificate from files only. These live for as long as the call.
            with tempfile.TemporaryDirectory() as directory:
                certificate, key = Path(directory, "certificate"), Path(directory, "key")
                _write_private(certificate, self.certificate)
                _write_private(key, self.key)
                # An empty password, because OpenSSL asks on the terminal for the one of an encrypted key.
                context.load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise AccessError(f"the client certificate or its key cannot be used: {error}") from error


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
