"""Where access comes from: files, several files, inline data, tokens, service accounts; and what is wrong with them."""

from __future__ import annotations

import base64
import dataclasses
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.kube.access import AccessError, ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import ConnectionFailed
from kubeai.kube.kubeconfig import find_access, in_cluster, load_kubeconfig
from kubeai.kube.tokenfile import TokenFile
from tests.unit.kube.scripted import CERTIFICATES, ScriptedServer
from tests.unit.kube.test_transport import server_tls


def entries(word: str, items: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, word: item} for name, item in items.items()]


def write(
    path: Path, user: dict[str, Any] | None = None, context: dict[str, Any] | None = None, **cluster: Any
) -> Path:
    """One context x of cluster c and user u."""
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": entries("cluster", {"c": {"server": "http://127.0.0.1:1234/", **cluster}}),
        "users": entries("user", {"u": user or {}}),
        "contexts": entries("context", {"x": {"cluster": "c", "user": "u", **(context or {})}}),
        "current-context": "x",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data))
    return path


async def authorization(access: ClusterAccess) -> str | None:
    return (await access.credentials.current()).authorization


async def test_a_file_gives_server_namespace_and_token(tmp_path: Path) -> None:
    access = load_kubeconfig(write(tmp_path / "config", {"token": "t"}, {"namespace": "ns"}))
    assert (access.server, access.namespace, access.ssl_context) == ("http://127.0.0.1:1234", "ns", None)
    assert await authorization(access) == "Bearer t"


def test_the_default_namespace_is_default(tmp_path: Path) -> None:
    assert load_kubeconfig(write(tmp_path / "config")).namespace == "default"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param({}, None, id="nobody"),
        pytest.param({"token": "t"}, "Bearer t", id="a token"),
        pytest.param({"username": "me", "password": "pw"}, "Basic bWU6cHc=", id="a password"),
        pytest.param({"token": "t", "username": "me"}, "Bearer t", id="a token before a password"),
        pytest.param({"token": "t", "tokenFile": "file"}, "Bearer from file", id="a token file before a token"),
        pytest.param({"token": "t", "tokenFile": "missing"}, "Bearer t", id="a token until the file can be read"),
    ],
)
async def test_a_user_is_known_by(tmp_path: Path, user: dict[str, Any], expected: str | None) -> None:
    (tmp_path / "file").write_text("from file\n")
    assert await authorization(load_kubeconfig(write(tmp_path / "config", user))) == expected


async def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    access = load_kubeconfig(write(tmp_path / "config", {"tokenFile": "token"}))
    assert await authorization(access) == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    assert await authorization(access) == "Bearer second"


async def test_while_a_token_file_is_away_its_last_token_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    credentials = TokenFile(token)
    used = await credentials.current()
    token.unlink()
    assert [await credentials.current(), await credentials.current()] == [used, used]
    assert len(caplog.records) == 1
    assert not credentials.refused(used)
    token.write_text("second")
    assert credentials.refused(used)


async def test_a_token_file_that_was_never_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"token file .*missing cannot be read"):
        await TokenFile(tmp_path / "missing").current()


def inline(name: str) -> str:
    return base64.b64encode((CERTIFICATES / name).read_bytes()).decode()


def wrapped(name: str) -> str:
    return base64.encodebytes((CERTIFICATES / name).read_bytes()).decode().replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        pytest.param(
            {"certificate-authority": "pki/ca.crt"},
            {"client-certificate": "pki/client.crt", "client-key": "pki/client.key"},
            id="as files beside the kubeconfig",
        ),
        pytest.param(
            {"certificate-authority-data": inline("ca.crt")},
            {"client-certificate-data": inline("client.crt"), "client-key-data": inline("client.key")},
            id="inside the kubeconfig",
        ),
        pytest.param(
            {"certificate-authority-data": wrapped("ca.crt")},
            {"client-certificate-data": wrapped("client.crt"), "client-key-data": wrapped("client.key")},
            id="inside the kubeconfig, in lines as base64 writes them",
        ),
        pytest.param(
            {"certificate-authority-data": inline("ca.crt"), "certificate-authority": "pki/missing"},
            {"client-certificate-data": inline("client.crt"), "client-key": "pki/client.key"},
            id="as a mixture, where what is inside wins",
        ),
    ],
)
def test_certificates_are_found(tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> None:
    (tmp_path / "pki").symlink_to(CERTIFICATES)
    access = load_kubeconfig(write(tmp_path / "config", user, server="https://127.0.0.1:6443", **cluster))
    assert access.ssl_context is not None
    [authority] = access.ssl_context.get_ca_certs()
    assert authority["subject"] == ((("commonName", "test authority"),),)


def test_a_cluster_can_be_trusted_blindly_renamed_and_behind_a_proxy(tmp_path: Path) -> None:
    cluster: dict[str, Any] = {
        "insecure-skip-tls-verify": True,
        "tls-server-name": "kube.example",
        "proxy-url": "http://proxy:3128",
    }
    access = load_kubeconfig(write(tmp_path / "config", server="https://127.0.0.1:6443", **cluster))
    assert access.ssl_context is not None
    assert access.ssl_context.verify_mode == ssl.CERT_NONE
    assert (access.tls_server_name, access.proxy) == ("kube.example", "http://proxy:3128")


def test_a_user_can_act_as_another(tmp_path: Path) -> None:
    user = {"as": "jane", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"acme.com/x": ["1"]}}
    assert load_kubeconfig(write(tmp_path / "config", user)).headers == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-acme.com%2Fx", "1"),
    )


def test_a_context_can_be_chosen(tmp_path: Path) -> None:
    data = yaml.safe_load(write(tmp_path / "config").read_text())
    data["contexts"] += entries("context", {"y": {"cluster": "c", "namespace": "of-y"}})
    (tmp_path / "config").write_text(yaml.safe_dump(data))
    assert load_kubeconfig(tmp_path / "config", "y").namespace == "of-y"


async def test_of_several_files_the_first_that_says_something_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a" / "config", tmp_path / "b" / "config"
    write(first, {"tokenFile": "token"}, {"namespace": "first"})
    write(second, {"token": "second"}, {"namespace": "second"})
    data = yaml.safe_load(second.read_text())
    data["contexts"] += entries("context", {"y": {"cluster": "c", "user": "u", "namespace": "only-in-second"}})
    second.write_text(yaml.safe_dump(data | {"current-context": "y"}))
    (first.parent / "token").write_text("first")
    files = [tmp_path / "missing", first, "", second]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
    assert load_kubeconfig().namespace == "first"
    assert load_kubeconfig(context="y").namespace == "only-in-second"
    # The path is relative to the file that has it, and the user is the first file's in both contexts.
    assert await authorization(load_kubeconfig(context="y")) == "Bearer first"


TO_CLUSTER = "contexts: [{name: x, context: {cluster: c}}], current-context: x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"config is not valid YAML"),
        ("[]", r"config is not valid: Expected `object`"),
        ("{clusters: [{name: 5}]}", r"config is not valid: .*clusters\[0\]\.name"),
        ("{}", "current-context is not set; choose one of none"),
        ("{contexts: [{name: x, context: {}}], current-context: y}", "no context 'y'; there are x"),
        (f"{{{TO_CLUSTER}}}", "no cluster 'c'; there are none"),
        (f"{{{TO_CLUSTER}, clusters: [{{name: c}}]}}", "server '' must begin with https"),
        (
            f"{{{TO_CLUSTER}, clusters: [{{name: c, cluster: {{server: 'http://['}}}}]}}",
            "is no URL: Invalid",
        ),
        (
            f"{{{TO_CLUSTER}, clusters: [{{name: c, cluster: {{server: 'https://a', proxy-url: 'ftp://p'}}}}]}}",
            "proxy-url 'ftp://p' must begin with http",
        ),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_fault(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(AccessError, match=says):
        load_kubeconfig(tmp_path / "config")


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"client-certificate-data": "%%%"}, "client-certificate-data is not a PEM text"),
        ({"client-certificate": "missing"}, "client-certificate: .*missing cannot be read"),
        ({"client-certificate-data": inline("client.crt")}, "both the certificate and its key"),
        ({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, "must be one of .*v1beta1"),
        (
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Maybe"}},
            "interactiveMode 'Maybe' must be Never",
        ),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider is no longer supported"),
    ],
)
def test_a_bad_user_is_an_error_that_names_file_and_key(tmp_path: Path, user: dict[str, Any], says: str) -> None:
    path = write(tmp_path / "config", user, server="https://127.0.0.1:6443")
    with pytest.raises(AccessError, match=rf"{path}: context x: .*{says}"):
        load_kubeconfig(path)


IN_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def service_account(directory: Path) -> Path:
    directory.mkdir()
    (directory / "token").write_text("first")
    (directory / "namespace").write_text("ns\n")
    (directory / "ca.crt").write_text((CERTIFICATES / "ca.crt").read_text())
    return directory


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
async def test_a_pod_is_its_service_account_whose_token_rotates(tmp_path: Path, host: str, server: str) -> None:
    account = service_account(tmp_path / "account")
    access = in_cluster({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}, account)
    assert (access.server, access.namespace) == (server, "ns")
    assert access.ssl_context is not None
    assert await authorization(access) == "Bearer first"
    (account / "token").write_text("second")
    assert await authorization(access) == "Bearer second"


@pytest.mark.parametrize(
    ("content", "trusts_the_new_one"),
    [
        pytest.param((CERTIFICATES / "ca.crt").read_text(), True, id="a new authority is trusted"),
        pytest.param("half a certifi", False, id="one that is none is not"),
        pytest.param(None, False, id="nor one that is gone"),
    ],
)
async def test_the_authority_of_a_pod_rotates(tmp_path: Path, content: str | None, trusts_the_new_one: bool) -> None:
    account = service_account(tmp_path / "account")
    (account / "ca.crt").write_text((CERTIFICATES / "client.crt").read_text())  # some other certificate
    access = in_cluster({"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}, account)
    if content is None:
        (account / "ca.crt").unlink()
    else:
        (account / "ca.crt").write_text(content)
    server = ScriptedServer()
    async with (
        server.running(tls=server_tls()),
        Client(dataclasses.replace(access, server=server.url)) as client,
    ):
        if not trusts_the_new_one:
            with pytest.raises(ConnectionFailed, match="certificate"):
                await client.get(CONFIG_MAPS, "a")
            (account / "ca.crt").write_text((CERTIFICATES / "ca.crt").read_text())
        assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}
        (account / "ca.crt").write_text("rubbish")
        assert await client.get(CONFIG_MAPS, "a") == {"kind": "Echo"}


def test_the_proxy_of_the_environment_leads_to_a_kubeconfigs_cluster(tmp_path: Path) -> None:
    path = write(tmp_path / "config", {}, server="https://kube.example")
    environ = {"KUBECONFIG": str(path), "HTTPS_PROXY": "http://p:3128"}
    assert find_access(environ).proxy == "http://p:3128"
    assert find_access(environ | {"NO_PROXY": "example"}).proxy is None


def test_a_pod_reaches_its_api_server_directly(tmp_path: Path) -> None:
    environ = IN_POD | {"HTTPS_PROXY": "http://p:3128"}
    assert in_cluster(environ, service_account(tmp_path / "account")).proxy is None


def test_outside_of_a_pod_there_is_no_service_account(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="does not run in a cluster"):
        in_cluster({}, tmp_path)
    with pytest.raises(AccessError, match=r"missing cannot be read"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path / "missing")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"KUBECONFIG": "{there}", **IN_POD}, "there", id="KUBECONFIG before all else"),
        pytest.param(IN_POD, "ns", id="then the Pod's service account"),
        pytest.param({}, "home", id="then the file at home"),
    ],
)
def test_a_cluster_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".kube" / "config", context={"namespace": "home"})
    there = write(tmp_path / "there", context={"namespace": "there"})
    found = {key: value.format(there=there) for key, value in environ.items()}
    assert find_access(found, service_account(tmp_path / "account")).namespace == expected


def test_where_there_is_no_cluster_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(AccessError, match=r"no kubeconfig at .*\.kube/config: create it, or set KUBECONFIG"):
        find_access({}, tmp_path / "no-account")
