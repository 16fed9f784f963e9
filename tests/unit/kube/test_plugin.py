"""Credential plugins: real programs, run as seldom as possible."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubeai.kube.access import AccessError
from kubeai.kube.kubeconfig import load_kubeconfig
from kubeai.kube.plugin import VERSIONS, Plugin, PluginCredentials
from kubeai.kube.tls import TLS
from tests.unit.kube.scripted import CERTIFICATES
from tests.unit.kube.test_kubeconfig import inline, write

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

#: Answers with the status in its environment; its token ends with the number of its run. It keeps what it was told.
SCRIPT = """
import json, os, pathlib
told = pathlib.Path(__file__).with_name("told")
with told.open("a") as file:
    file.write(os.environ["KUBERNETES_EXEC_INFO"] + chr(10))
status = json.loads(os.environ["STATUS"])
if "token" in status:
    status["token"] += str(len(told.read_text().splitlines()))
version = json.loads(os.environ["KUBERNETES_EXEC_INFO"])["apiVersion"]
print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))
"""


def plugin(tmp_path: Path, script: str = SCRIPT, version: str = VERSIONS[0], **status: Any) -> Plugin:
    path = tmp_path / "plugin.py"
    path.write_text(script)
    env = {"STATUS": json.dumps(status or {"token": "t"})}
    return Plugin(sys.executable, version, [str(path)], env, interactive_mode="Never")


def told(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]


async def tokens(credentials: PluginCredentials, count: int) -> list[str | None]:
    return [(await credentials.current()).authorization for _ in range(count)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_token_without_an_end_is_kept(tmp_path: Path, version: str) -> None:
    credentials = PluginCredentials(plugin(tmp_path, version=version), TLS())
    assert await tokens(credentials, 3) == ["Bearer t1"] * 3
    assert told(tmp_path) == [{"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}]


def at(*moments: datetime) -> Callable[[], datetime]:
    """A clock that shows these moments, one for each look."""
    left = iter(moments)
    return lambda: next(left)


async def test_a_token_is_asked_for_again_when_it_ends(tmp_path: Path) -> None:
    ends = NOW + timedelta(hours=1)
    clock = at(ends - timedelta(seconds=11), ends - timedelta(seconds=10))
    credentials = PluginCredentials(plugin(tmp_path, token="t", expirationTimestamp=ends.isoformat()), TLS(), now=clock)
    assert await tokens(credentials, 3) == ["Bearer t1", "Bearer t1", "Bearer t2"]


async def test_a_token_is_asked_for_again_when_it_is_refused(tmp_path: Path) -> None:
    credentials = PluginCredentials(plugin(tmp_path), TLS())
    first = await credentials.current()
    assert credentials.refused(first)
    assert await tokens(credentials, 1) == ["Bearer t2"]
    # Others that were refused with the old token do not cost the new one.
    assert credentials.refused(first)
    assert await tokens(credentials, 1) == ["Bearer t2"]


async def test_one_run_serves_all_who_wait(tmp_path: Path) -> None:
    credentials = PluginCredentials(plugin(tmp_path), TLS())
    found = await asyncio.gather(*(credentials.current() for _ in range(5)))
    assert {credential.authorization for credential in found} == {"Bearer t1"}
    assert len(told(tmp_path)) == 1


async def test_a_plugin_can_give_a_certificate(tmp_path: Path) -> None:
    status = {
        "clientCertificateData": (CERTIFICATES / "client.crt").read_text(),
        "clientKeyData": (CERTIFICATES / "client.key").read_text(),
    }
    tls = TLS((CERTIFICATES / "ca.crt").read_text())
    credential = await PluginCredentials(plugin(tmp_path, **status), tls).current()
    assert credential.authorization is None
    assert credential.ssl_context is not None
    assert len(credential.ssl_context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param("import sys; sys.exit('log in first')", "failed with 1: log in first", id="that fails"),
        pytest.param("print('no json')", "printed no ExecCredential", id="that prints something else"),
        pytest.param(SCRIPT.replace('["apiVersion"]', '["kind"]'), "set users.*apiVersion", id="of another version"),
        pytest.param(SCRIPT.replace("token", "tok"), "neither a token nor a certificate", id="that gives nothing"),
    ],
)
async def test_a_plugin_is_named_in_the_error(tmp_path: Path, script: str, says: str) -> None:
    status = {"tok": "t"} if "tok" in script else {"token": "t"}
    with pytest.raises(AccessError, match=f"credential plugin {sys.executable} .*{says}"):
        await PluginCredentials(plugin(tmp_path, script, **status), TLS()).current()


@pytest.mark.parametrize(
    ("hint", "says"), [("get it at example.com", "get it at example.com"), ("", "correct users.*command")]
)
async def test_a_plugin_that_is_not_installed_says_where_to_get_it(tmp_path: Path, hint: str, says: str) -> None:
    missing = replace(plugin(tmp_path), command="no-such-plugin", install_hint=hint)
    with pytest.raises(AccessError, match=says):
        await PluginCredentials(missing, TLS()).current()


async def test_a_plugin_that_never_answers_is_given_up(tmp_path: Path) -> None:
    credentials = PluginCredentials(plugin(tmp_path, "import time; time.sleep(60)"), TLS(), timeout_s=0.05)
    with pytest.raises(AccessError, match=r"did not answer in 0\.05 s"):
        await credentials.current()


async def test_a_plugin_that_must_ask_the_user_needs_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    asking = replace(plugin(tmp_path), interactive_mode="Always")
    with pytest.raises(AccessError, match="needs a terminal"):
        await PluginCredentials(asking, TLS()).current()


async def test_a_kubeconfigs_plugin_is_run_with_all_that_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "plugin").write_text(f"#!{sys.executable}\n{SCRIPT}")
    (tmp_path / "plugin").chmod(0o755)
    exec = {
        "apiVersion": VERSIONS[0],
        "command": "./plugin",
        "env": [{"name": "STATUS", "value": '{"token": "t"}'}],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    cluster: dict[str, Any] = {
        "server": "https://127.0.0.1:6443",
        "certificate-authority": str(CERTIFICATES / "ca.crt"),
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
    }
    access = load_kubeconfig(write(tmp_path / "config", {"exec": exec}, **cluster))
    assert (await access.credentials.current()).authorization == "Bearer t1"
    [asked] = told(tmp_path)
    info = asked["spec"]["cluster"]
    assert (info["server"], info["config"]) == ("https://127.0.0.1:6443", {"audience": "a"})
    assert info["certificate-authority-data"] == inline("ca.crt")
