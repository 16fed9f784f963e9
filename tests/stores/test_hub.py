"""A hub of one's own behind TLS by an authority of its own, as `modelSources.hf` tells the loader of it."""

from __future__ import annotations

import os
import ssl
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.kubernetes.authority import Authority
from tests.stores.test_s3 import load
from tests.unit.loader.servers import Exchange, Hub

pytestmark = [pytest.mark.stores, pytest.mark.timeout(120)]


@pytest.mark.parametrize("trusted", [True, False], ids=["an authority that is told", "one that nobody knows"])
def test_a_private_hub(tmp_path: Path, trusted: bool) -> None:
    authority = Authority(tmp_path / "authority")
    authority.sign("server", "/CN=localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("server"), authority.key("server"))
    hub = Hub({"config.json": b"{}"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Site", (Exchange,), {"answer": staticmethod(hub.answer)}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        environ = {**os.environ, "HF_ENDPOINT": f"https://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}
        if trusted:
            environ |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(authority.certificate("ca")))
        done = load("hf://org/tiny", str(tmp_path / "d"), environ=environ)
    finally:
        server.shutdown()
        server.server_close()
    assert (done.returncode == 0) is trusted, done.stderr
    assert (tmp_path / "d" / "config.json").exists() is trusted
