"""Connections, credentials and waits, seen from the server's side."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.kube import transport
from kubeai.kube.access import AccessError, ClusterAccess, Credential, bearer, token_access
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.kube.tls import TLS
from tests.unit.kube.scripted import CERTIFICATES, ScriptedServer, answer, status

AUTHORITY = (CERTIFICATES / "ca.crt").read_text()
CLIENT_CERTIFICATE = (CERTIFICATES / "client.crt").read_text()
CLIENT_KEY = (CERTIFICATES / "client.key").read_text()


async def test_the_token_is_sent(server: ScriptedServer) -> None:
    async with Client(token_access(server.url + "/", "secret", "n")) as client:
        await client.get(CONFIG_MAPS, "a")
    assert server.asked[0].headers["Authorization"] == "Bearer secret"
    assert server.asked[0].path == "/api/v1/namespaces/n/configmaps/a"


async def test_a_server_may_live_below_a_path(server: ScriptedServer) -> None:
    async with Client(ClusterAccess(server.url + "/k8s/clusters/c-1")) as client:
        await client.get(CONFIG_MAPS, "a")
    assert server.asked[0].path == "/k8s/clusters/c-1/api/v1/namespaces/default/configmaps/a"


async def test_impersonation_is_sent(server: ScriptedServer) -> None:
    access = ClusterAccess(server.url, headers=(("Impersonate-User", "jane"),))
    async with Client(access) as client:
        await client.get(CONFIG_MAPS, "a")
    assert server.asked[0].headers["Impersonate-User"] == "jane"


async def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    async with ScriptedServer().running() as server:
        url = server.url
    async with Client(ClusterAccess(url)) as client:
        with pytest.raises(ConnectionFailed, match=url) as caught:
            await client.get(CONFIG_MAPS, "a")
    assert caught.value.transient


THROTTLED = status(429, "TooManyRequests", "slow down")


async def test_what_can_be_repeated_is_sent_again_when_the_server_says(server: ScriptedServer, client: Client) -> None:
    server.answers = [answer(429, THROTTLED, Retry_After="0"), answer(503, THROTTLED, Retry_After="0")]
    assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
    assert len(server.asked) == 3


async def test_a_server_that_never_has_time_is_an_error_in_the_end(server: ScriptedServer, client: Client) -> None:
    server.answers = [answer(429, THROTTLED, Retry_After="0") for _ in range(9)]
    with pytest.raises(APIError, match="slow down"):
        await client.get(CONFIG_MAPS, "a")
    assert len(server.asked) == 5


async def test_a_creation_is_never_sent_twice(server: ScriptedServer, client: Client) -> None:
    server.answers = [answer(429, THROTTLED, Retry_After="2")]
    with pytest.raises(APIError) as caught:
        await client.create(CONFIG_MAPS, {})
    assert caught.value.retry_after_s == 2
    assert len(server.asked) == 1


async def test_the_proxy_of_the_environment_is_not_used(
    server: ScriptedServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}


async def test_the_proxy_of_the_access_is_used(server: ScriptedServer) -> None:
    async with Client(ClusterAccess("http://kube.example:6443", proxy=server.url)) as client:
        assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
    assert server.asked[0].headers["Host"] == "kube.example:6443"


class Renewing:
    """Credentials that are one better after each refusal, up to a point."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)

    async def current(self) -> Credential:
        if not self._tokens:
            raise AccessError("no token is left")
        return bearer(self._tokens[0])

    def refused(self, credential: Credential) -> bool:
        self._tokens.pop(0)
        return True


@pytest.mark.parametrize(
    ("tokens", "refusals", "sent", "error"),
    [
        pytest.param(["old", "new"], 1, ["Bearer old", "Bearer new"], None, id="the new one is tried"),
        pytest.param(["1", "2", "3"], 2, ["Bearer 1", "Bearer 2"], "no", id="but only one"),
        pytest.param([], 0, [], "no token is left", id="no credential is an error of the request"),
    ],
)
async def test_a_refused_credential_is_renewed(
    server: ScriptedServer, tokens: list[str], refusals: int, sent: list[str], error: str | None
) -> None:
    server.answers = [answer(401, status(401, "Unauthorized")) for _ in range(refusals)]
    async with Client(ClusterAccess(server.url, credentials=Renewing(*tokens))) as client:
        if error is None:
            await client.get(CONFIG_MAPS, "a")
        else:
            with pytest.raises(APIError, match=error) as caught:
                await client.get(CONFIG_MAPS, "a")
            assert caught.value.unauthorized
    assert [asked.headers["Authorization"] for asked in server.asked] == sent


class Asking:
    """A plugin that asks the user, who needs his time."""

    async def current(self) -> Credential:
        await asyncio.sleep(0.3)
        return bearer("secret")

    def refused(self, credential: Credential) -> bool:
        return False


async def test_the_time_for_an_answer_is_the_servers_alone(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_ANSWER_TIMEOUT_S", 0.2)
    async with Client(ClusterAccess(server.url, credentials=Asking())) as client:
        assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}


def server_tls(*, asks_for_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as an API server, which accepts plain certificates
    context.load_cert_chain(CERTIFICATES / "server.crt", CERTIFICATES / "server.key")
    if asks_for_certificate:
        context.load_verify_locations(CERTIFICATES / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize(
    "tls",
    [
        pytest.param(TLS(AUTHORITY), id="of the cluster's authority"),
        pytest.param(TLS(insecure=True), id="that nobody has to trust"),
    ],
)
async def test_a_server_is_trusted(tls: TLS) -> None:
    server = ScriptedServer()
    async with server.running(tls=server_tls()), Client(ClusterAccess(server.url, ssl_context=tls.context())) as client:
        assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}


async def test_a_server_of_an_unknown_authority_is_not_talked_to() -> None:
    async with ScriptedServer().running(tls=server_tls()) as server, Client(ClusterAccess(server.url)) as client:
        with pytest.raises(ConnectionFailed, match="certificate"):
            await client.get(CONFIG_MAPS, "a")
    assert server.asked == []


@pytest.mark.parametrize(
    ("name", "trusted"), [pytest.param("kube.example", True, id="in it"), pytest.param("other", False, id="not in it")]
)
async def test_the_name_in_the_certificate_can_be_another(name: str, trusted: bool) -> None:
    async with ScriptedServer().running(tls=server_tls()) as server:
        access = ClusterAccess(server.url, ssl_context=TLS(AUTHORITY).context(), tls_server_name=name)
        async with Client(access) as client:
            if trusted:
                assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
            else:
                with pytest.raises(ConnectionFailed, match="certificate"):
                    await client.get(CONFIG_MAPS, "a")


async def test_a_client_certificate_is_shown() -> None:
    async with ScriptedServer().running(tls=server_tls(asks_for_certificate=True)) as server:
        with_certificate = TLS(AUTHORITY, certificate=CLIENT_CERTIFICATE, key=CLIENT_KEY)
        access = ClusterAccess(server.url, ssl_context=with_certificate.context())
        async with Client(access) as client:
            assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
        async with Client(dataclasses.replace(access, ssl_context=TLS(AUTHORITY).context())) as client:
            with pytest.raises(ConnectionFailed):
                await client.get(CONFIG_MAPS, "a")
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("tls", "says"),
    [
        pytest.param(TLS("rubbish"), "authority is not valid PEM", id="an authority that is none"),
        pytest.param(TLS(certificate=CLIENT_CERTIFICATE), "both the certificate and its key", id="no key"),
        pytest.param(TLS(certificate=CLIENT_CERTIFICATE, key="rubbish"), "cannot be used", id="a key that is none"),
    ],
)
def test_unusable_certificates_are_errors(tls: TLS, says: str) -> None:
    with pytest.raises(AccessError, match=says):
        tls.context()


async def test_a_client_must_be_entered(server: ScriptedServer) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client(ClusterAccess(server.url)).get(CONFIG_MAPS, "a")


async def test_a_caller_that_gives_up_closes_the_connection(server: ScriptedServer, client: Client) -> None:
    async with client.watch(CONFIG_MAPS, resource_version="1", timeout_s=60):
        await server.idle.wait()
    server.idle.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), client.watch(CONFIG_MAPS, resource_version="1", timeout_s=60) as watch:
            await anext(watch)
