"""Certificates for a cluster that lives on one machine, made with openssl."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


class Authority:
    """A certificate authority and what it has signed, as files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        if not self.certificate("ca").exists():
            self._openssl(
                "req", "-x509", *self._new_key("ca"), "-out", self.certificate("ca"), "-subj", "/CN=kubeai-test"
            )

    def certificate(self, name: str) -> Path:
        return self._directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self._directory / f"{name}.key"

    def sign(self, name: str, subject: str, addresses: Sequence[str] = ("127.0.0.1",)) -> None:
        """Make a key and a certificate that is good for both ends of a connection, at these addresses."""
        if self.certificate(name).exists():
            return
        request, extensions = self._directory / f"{name}.csr", self._directory / "extensions"
        names = ",".join(["DNS:localhost", *(f"IP:{address}" for address in addresses)])
        extensions.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        self._openssl("req", *self._new_key(name), "-out", request, "-subj", subject)
        authority = ("-CA", self.certificate("ca"), "-CAkey", self.key("ca"), "-CAcreateserial")
        self._openssl(
            "x509", "-req", "-in", request, *authority, "-extfile", extensions, "-out", self.certificate(name)
        )

    def _new_key(self, name: str) -> tuple[str | Path, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key(name))

    def _openssl(self, *arguments: str | Path) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
