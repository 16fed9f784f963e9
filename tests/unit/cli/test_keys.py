"""`kubeai keys`, against the real embedded API server."""

from __future__ import annotations

import base64
import json

import pytest

from kubeai.access.key import digest_of
from kubeai.access.secret import decode_all
from kubeai.api.k8s.resources import SECRETS
from kubeai.cli.errors import CLIError
from kubeai.cli.keyring import expiry

from .conftest import CommandLine, LocalCluster

SECRET = "kubeai-api-keys"
DAY_S = 86_400


def test_a_key_is_shown_once_and_only_its_hash_is_kept(kubeai: CommandLine, cluster: LocalCluster) -> None:
    made = kubeai("keys", "create", "alice", "--models", "team=a", "--concurrency", "2")
    assert (made.code, "first key" in made.err) == (0, True)
    text = made.out.strip()
    data = cluster.get(SECRETS, SECRET)["data"]
    keys, faults = decode_all(data)
    assert faults == {}
    assert (keys["alice"].digest, keys["alice"].models, keys["alice"].concurrency) == (
        digest_of(text.encode()), "team=a", 2,
    )  # fmt: skip
    assert text.encode() not in base64.b64decode(data["alice"])
    again = kubeai("keys", "create", "bob", "-o", "json")
    assert (again.err, set(json.loads(again.out))) == ("", {"name", "key"})


def test_keys_are_listed_without_themselves(kubeai: CommandLine, cluster: LocalCluster) -> None:
    assert kubeai("keys", "list").err == "There are no API keys.\n"
    key = kubeai("keys", "create", "b", "--requests-per-minute", "5", "--expires", "2999-01-02").out.strip()
    kubeai("keys", "create", "a")
    listed = kubeai("keys", "list")
    lines = [line.split() for line in listed.out.splitlines()]
    assert key not in listed.out
    assert lines[0][:2] == ["NAME", "MODELS"]
    assert lines[1][:-1] == ["a", "all", "-", "-", "-", "-", "never"]
    assert lines[2][:-1] == ["b", "all", "5", "-", "-", "-", "2999-01-02T00:00Z"]
    assert [row["name"] for row in json.loads(kubeai("keys", "list", "-o", "json").out)] == ["a", "b"]


def test_a_revoked_key_is_gone_and_the_last_one_leaves_the_door_shut(
    kubeai: CommandLine, cluster: LocalCluster
) -> None:
    kubeai("keys", "create", "a")
    kubeai("keys", "create", "b")
    assert kubeai("keys", "revoke", "a").err == ""
    assert list(cluster.get(SECRETS, SECRET)["data"]) == ["b"]
    last = kubeai("keys", "revoke", "b")
    assert (last.out, "No key is left" in last.err) == ("key b revoked\n", True)
    assert cluster.get(SECRETS, SECRET).get("data", {}) == {}
    assert kubeai("keys", "create", "c").err == ""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param(["create", "a/b"], "the name of a key has", id="a name that cannot be a key of a Secret"),
        pytest.param(["create", "a", "--models", "x=("], "--models:", id="no selector"),
        pytest.param(["create", "a", "--expires", "soon"], "--expires:", id="no time"),
        pytest.param(["create", "taken"], "there is a key taken already", id="a name that is taken"),
        pytest.param(["revoke", "nobody"], "there is no key nobody", id="a key that is not there"),
    ],
)
def test_mistakes_are_told(kubeai: CommandLine, cluster: LocalCluster, arguments: list[str], error: str) -> None:
    kubeai("keys", "create", "taken")
    told = kubeai("keys", *arguments)
    assert (told.code, told.out) == (1, "")
    assert error in told.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30d", 30 * DAY_S), ("12h", DAY_S / 2), ("1970-01-03", 2 * DAY_S), ("1970-01-03T01:00+01:00", 2 * DAY_S)],
)
def test_times_of_expiry(text: str, expected: float) -> None:
    assert expiry(text, 0.0) == expected


@pytest.mark.parametrize("text", ["1970-01-01", "-5h", "0", "0d"])
def test_a_key_cannot_expire_before_it_is_made(text: str) -> None:
    with pytest.raises(CLIError, match="is past"):
        expiry(text, 1.0)


@pytest.mark.parametrize("text", ["9999999d", "99999999999999999999d", "99999999h"])
def test_a_key_cannot_expire_beyond_the_calendar(text: str) -> None:
    with pytest.raises(CLIError, match="too far away"):
        expiry(text, 1.0)
