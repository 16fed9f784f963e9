"""Connections through a SOCKS5 proxy. Needs the extra `socks`, so it is imported only where a cluster asks for it."""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from yarl import URL

_DEFAULT_PORT = 1080


class SocksConnector(ProxyConnector):
    """Says what goes wrong at the proxy in the words of the HTTP library, which its callers know."""

    async def _create_connection(self, *args: Any, **kwargs: Any) -> ResponseHandler:
        try:
            made: ResponseHandler = await super()._create_connection(*args, **kwargs)
        except (ProxyError, ProxyConnectionError, ProxyTimeoutError) as error:
            raise aiohttp.ClientConnectionError(f"the proxy says: {error}") from error
        return made


def socks_connector(proxy: str) -> aiohttp.BaseConnector:
    """Names are resolved by the proxy, as kubectl has it: they may mean nothing here."""
    url = URL(proxy).with_scheme("socks5")
    url = url if url.explicit_port else url.with_port(_DEFAULT_PORT)
    connector: aiohttp.BaseConnector = SocksConnector.from_url(str(url), rdns=True, limit=0)
    return connector
