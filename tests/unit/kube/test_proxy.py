"""Proxies on the way to an API server: which one, and that it is used for requests, watches and commands alike."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.kube.access import AccessError, ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import ConnectionFailed
from kubeai.kube.proxy import checked_proxy, environment_proxy
from kubeai.kube.tls import TLS
from tests.unit.kube.proxies import Proxy, connect, socks5
from tests.unit.kube.scripted import ScriptedServer
from tests.unit.kube.test_transport import AUTHORITY, server_tls

HTTPS = {"HTTPS_PROXY": "http://p:3128"}


def except_for(hosts: str) -> dict[str, str]:
    return HTTPS | {"NO_PROXY": hosts}


@pytest.mark.parametrize(
    ("server", "environ", "proxy"),
    [
        pytest.param("https://k.example", HTTPS, "http://p:3128", id="for https"),
        pytest.param("https://k.example", {"https_proxy": "p:3128"}, "http://p:3128", id="in small letters, bare"),
        pytest.param("https://k.example", {"HTTP_PROXY": "http://p"}, None, id="not http's for https"),
        pytest.param("http://k.example", {"HTTP_PROXY": "http://p"}, "http://p", id="but for http"),
        pytest.param("https://k.example", {"HTTPS_PROXY": "socks5h://p"}, "socks5h://p", id="SOCKS"),
        pytest.param("https://localhost:6443", HTTPS, None, id="never for this machine"),
        pytest.param("https://127.0.0.9:6443", HTTPS, None, id="nor its addresses"),
        pytest.param("https://[::1]:6443", HTTPS, None, id="of any kind"),
        pytest.param("https://k.example", except_for("*"), None, id="not with an asterisk"),
        pytest.param("https://k.example", except_for("x, K.example"), None, id="not for a named host"),
        pytest.param("https://a.k.example", except_for("k.example"), None, id="and those below it"),
        pytest.param("https://k.example", except_for(".k.example"), "http://p:3128", id="with a dot only those"),
        pytest.param("https://ak.example", except_for("k.example"), "http://p:3128", id="not one that ends alike"),
        pytest.param("https://10.1.2.3", except_for("10.0.0.0/8"), None, id="not within a network"),
        pytest.param("https://11.1.2.3", except_for("10.0.0.0/8,bad/x"), "http://p:3128", id="but outside of it"),
        pytest.param("https://[fd00::5]:6443", except_for("fd00::/8"), None, id="IPv6, too"),
        pytest.param("https://[fd00::5]:6443", except_for("fd00::5"), None, id="by its address"),
        pytest.param("https://k.example:6443", except_for("k.example:6443"), None, id="by its port"),
        pytest.param("https://k.example", except_for("k.example:6443"), "http://p:3128", id="and no other"),
    ],
)
def test_the_environment_names_the_proxy(server: str, environ: dict[str, str], proxy: str | None) -> None:
    assert environment_proxy(server, environ) == proxy


@pytest.mark.parametrize("url", ["ftp://p", "http://", "p:1"])
def test_what_is_no_proxy_is_an_error_that_names_the_setting(url: str) -> None:
    with pytest.raises(AccessError, match=r"proxy-url .* must begin with http://, https://, socks5://, socks5h://"):
        checked_proxy(url, "proxy-url")


Greet = Callable[..., Awaitable[None]]


@pytest.mark.parametrize(
    ("scheme", "greet", "login"),
    [
        pytest.param("socks5", socks5, "", id="SOCKS5"),
        pytest.param("socks5h", socks5, "user:secret@", id="SOCKS5 with a password"),
        pytest.param("http", connect, "", id="HTTP's CONNECT"),
    ],
)
async def test_everything_goes_through_the_proxy(scheme: str, greet: Greet, login: str) -> None:
    async with ScriptedServer().running(tls=server_tls()) as server:
        proxy = Proxy(int(server.url.rpartition(":")[2]), password="secret" if login else "")
        async with proxy.running(greet):
            access = ClusterAccess(
                "https://kube.example:6443",
                ssl_context=TLS(AUTHORITY).context(),
                proxy=f"{scheme}://{login}127.0.0.1:{proxy.port}",
            )
            async with Client(access) as client:
                assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
                async with client.watch(CONFIG_MAPS, resource_version="1", timeout_s=60):
                    await server.idle.wait()
    assert set(proxy.led_to) == {"kube.example:6443"}


@pytest.mark.parametrize(
    ("login", "says"),
    [pytest.param("user:wrong@", "authentication", id="a wrong password"), pytest.param("", "", id="none at all")],
)
async def test_a_proxy_that_refuses_is_a_failed_connection(login: str, says: str) -> None:
    async with Proxy(1, password="secret").running(socks5) as proxy:
        access = ClusterAccess("http://kube.example", proxy=f"socks5://{login}127.0.0.1:{proxy.port}")
        async with Client(access) as client:
            with pytest.raises(ConnectionFailed, match=rf"(?i)http://kube\.example.*the proxy says: .*{says}"):
                await client.get(CONFIG_MAPS, "a")


async def test_a_proxy_that_is_not_there_is_a_failed_connection() -> None:
    async with Client(ClusterAccess("http://kube.example", proxy="socks5://127.0.0.1:1")) as client:
        with pytest.raises(ConnectionFailed, match=r"http://kube\.example.*the proxy says: .*127\.0\.0\.1:1"):
            await client.get(CONFIG_MAPS, "a")


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    with pytest.raises(AccessError, match=r"proxy-url 'socks5://p'.*pip install 'kubeai\[socks\]'"):
        checked_proxy("socks5://p", "proxy-url")


async def test_an_ipv6_server_is_reached() -> None:
    server = ScriptedServer()
    async with server.running(host="::1"), Client(ClusterAccess(server.url)) as client:
        assert server.url.startswith("http://[::1]:")
        assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
