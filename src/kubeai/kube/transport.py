"""Bytes to and from one API server: connections, credentials, time-outs; failures as `APIError`.

The environment's proxy variables do not apply here: what leads to a cluster is in its `ClusterAccess`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from kubeai import __version__
from kubeai.kube.access import AccessError, ClusterAccess, Credential
from kubeai.kube.errors import APIError, BadAnswer, ConnectionFailed, from_answer

_CONNECT_TIMEOUT_S = 10.0
#: API servers give up on a request themselves after 60 s.
_ANSWER_TIMEOUT_S = 65.0
#: A websocket that does not answer a ping within half of this is dead.
_HEARTBEAT_S = 30.0
_CLOSE_TIMEOUT_S = 2.0
_ATTEMPTS = 5
#: However long a server asks to wait, a caller that backs off by itself knows better.
_MAX_RETRY_AFTER_S = 10.0
#: A dead peer (a node that lost power, a NAT that forgot us) is noticed after idle + interval * probes = 60 s, also on
#: a watch on which nothing is sent. The name of the first option differs between systems.
_KEEPALIVE = (
    ("TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
)
#: Doing it twice is doing it once.
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_NETWORK = (aiohttp.ClientError, ConnectionError, ssl.SSLError)
_JSON = "application/json"


class Transport:
    """A pool of connections to one API server; an async context manager."""

    def __init__(self, access: ClusterAccess) -> None:
        self.access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Transport:
        self._session = aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            # Compression costs the server and our loop more time than it saves on a cluster's network.
            headers={
                "User-Agent": f"kubeai/{__version__}",
                "Accept": _JSON,
                "Accept-Encoding": "identity",
            },
            middlewares=(_tell_refused_upgrade,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def _http_proxy(self) -> str | None:
        """What is told to each request; a SOCKS proxy is the connector's own matter."""
        return None if _is_socks(self.access.proxy) else self.access.proxy

    def _connector(self) -> aiohttp.BaseConnector:
        # No limit: a watch holds its connection for minutes, and no request may have to wait for one.
        if self.access.proxy is None or not _is_socks(self.access.proxy):
            return aiohttp.TCPConnector(limit=0, socket_factory=_socket)
        from kubeai.kube.socks import socks_connector

        return socks_connector(self.access.proxy)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
    ) -> bytes:
        """The whole answer. If the server asks to come back later, what can be repeated is."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._whole(method, path, params, body, content_type)
            except APIError as error:
                wait_s = error.retry_after_s
                asked = error.status in (429, 503) and wait_s is not None
                if not asked or method not in _REPEATABLE or attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(min(wait_s or 0.0, _MAX_RETRY_AFTER_S))
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer as it comes. There is no time-out after its head: who reads it sets a deadline."""
        try:
            response = await self._send(method, path, params, body, content_type)
            try:
                if response.status >= 300:
                    raise from_answer(response.status, await response.read(), response.headers.get("Retry-After"))
                yield response
            finally:
                # Not release(): a stream that is left early is cut, not read to its end.
                response.close()
        except _NETWORK as error:
            raise self._failed(method, path, error) from error

    @asynccontextmanager
    async def websocket(
        self, path: str, *, params: Sequence[tuple[str, str]], protocols: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
        """A websocket that speaks one of `protocols`, the first of them that the server knows."""
        url = URL(self.access.server + path, encoded=True).update_query(params)
        try:
            socket = await self._upgrade(url, protocols)
            try:
                if socket.protocol is None:
                    raise BadAnswer(f"{url}: the server speaks none of {', '.join(protocols)}")
                yield socket
            finally:
                await socket.close()
        except (*_NETWORK, TimeoutError) as error:
            raise self._failed("GET", path, error) from error

    async def _upgrade(self, url: URL, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse[bool]:
        """As `_send`: a refused credential is renewed once."""
        credential = await self._credential()
        try:
            return await self._upgrade_as(credential, url, protocols)
        except APIError as error:
            if not (error.unauthorized and self.access.credentials.refused(credential)):
                raise
        return await self._upgrade_as(await self._credential(), url, protocols)

    async def _upgrade_as(
        self, credential: Credential, url: URL, protocols: Sequence[str]
    ) -> aiohttp.ClientWebSocketResponse[bool]:
        headers = CIMultiDict(self.access.headers)
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            return await self._entered().ws_connect(
                url,
                headers=headers,
                protocols=protocols,
                heartbeat=_HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                ssl=credential.ssl_context or self.access.ssl_context or True,
                server_hostname=self.access.tls_server_name,
                proxy=self._http_proxy,
            )

    async def _whole(
        self, method: str, path: str, params: Mapping[str, str] | None, body: Any, content_type: str
    ) -> bytes:
        try:
            # The head has a time of its own, which does not count how long somebody takes to sign in.
            async with await self._send(method, path, params, body, content_type) as response:
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    answer = await response.read()
        except (*_NETWORK, TimeoutError) as error:
            raise self._failed(method, path, error) from error
        if response.status >= 300:
            raise from_answer(response.status, answer, response.headers.get("Retry-After"))
        return answer

    async def _send(
        self, method: str, path: str, params: Mapping[str, str] | None, body: Any, content_type: str
    ) -> aiohttp.ClientResponse:
        """The answer's head, whatever it says. A refused credential is renewed once, where that is possible."""
        url = URL(self.access.server + path, encoded=True)
        if params:
            url = url.update_query(params)
        headers, data = CIMultiDict(self.access.headers), None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        credential = await self._credential()
        response = await self._send_as(credential, method, url, headers, data)
        if response.status == 401 and self.access.credentials.refused(credential):
            response.release()
            response = await self._send_as(await self._credential(), method, url, headers, data)
        return response

    async def _credential(self) -> Credential:
        try:
            return await self.access.credentials.current()
        except AccessError as error:
            # To a caller it is as if the server did not know it; it may well be cured while we run.
            raise APIError(401, "CredentialsUnavailable", str(error)) from error

    async def _send_as(
        self, credential: Credential, method: str, url: URL, headers: CIMultiDict[str], data: bytes | None
    ) -> aiohttp.ClientResponse:
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await self._entered().request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    ssl=credential.ssl_context or self.access.ssl_context or True,
                    server_hostname=self.access.tls_server_name,
                    proxy=self._http_proxy,
                    allow_redirects=False,
                )
        except TimeoutError as error:
            raise ConnectionFailed(f"{method} {url}: no answer in time") from error

    def _entered(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("a Client must be entered first: async with Client(access) as client")
        return self._session

    def _failed(self, method: str, path: str, error: BaseException) -> ConnectionFailed:
        return ConnectionFailed(f"{method} {self.access.server}{path}: {str(error) or 'no answer in time'}")


def _is_socks(proxy: str | None) -> bool:
    return proxy is not None and proxy.startswith("socks5")


async def _tell_refused_upgrade(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """The library drops the answer to an upgrade that is refused, and with it the server's reason."""
    response = await handler(request)
    if response.status != 101 and "Sec-WebSocket-Key" in request.headers:
        async with response:
            text = await response.read()
        if response.status < 300:
            raise BadAnswer(f"{request.url.path}: the server answered {response.status} instead of a websocket")
        raise from_answer(response.status, text, response.headers.get("Retry-After"))
    return response


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    if family in (socket.AF_INET, socket.AF_INET6):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
