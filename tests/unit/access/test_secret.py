from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from kubeai.access.key import NEVER, PREFIX, Key, digest_of, key_text, name_fault
from kubeai.access.secret import decode, decode_all, encode

from .keys import key

FULL = key(
    "ci",
    models="team=search",
    requests_per_minute=1,
    tokens_per_minute=2,
    concurrency=3,
    expires_at=1_800_000_000.0,
    priority=-4,
    created_at=1_700_000_000.0,
)


@pytest.mark.parametrize("one", [pytest.param(key(), id="without rules"), pytest.param(FULL, id="with all of them")])
def test_a_key_comes_back_as_it_was_written(one: Key) -> None:
    assert decode(one.name, encode(one)) == one


def test_a_time_without_a_zone_is_utc_wherever_the_gateway_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST+5")
    time.tzset()
    try:
        found = decode("k", entry(expires="1970-01-01T00:01:00", created="1970-01-01T00:00:01"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (found.expires_at, found.created_at) == (60.0, 1.0)


def test_only_the_hash_is_kept() -> None:
    text = key_text(bytes(32))
    assert text.startswith(PREFIX)
    made = Key(name="k", digest=digest_of(text.encode()))
    stored = base64.b64decode(encode(made)).decode()
    assert text not in stored
    assert json.loads(stored) == {"hash": f"sha256:{digest_of(text.encode()).hex()}"}


def entry(**fields: Any) -> str:
    data = {"hash": "sha256:" + "0" * 64} | fields
    return base64.b64encode(json.dumps(data).encode()).decode()


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param("!", id="no base64"),
        pytest.param(base64.b64encode(b"{").decode(), id="no JSON"),
        pytest.param(entry(hash="md5:00"), id="another hash"),
        pytest.param(entry(hash="sha256:00"), id="a short hash"),
        pytest.param(entry(selector="a=("), id="no selector"),
        pytest.param(entry(requestsPerMinute=0), id="a limit of nothing"),
        pytest.param(entry(requestPerMinute=5), id="a misspelled limit, which would be none"),
    ],
)
def test_a_spoiled_entry_locks_out_its_own_key_only(spoiled: str) -> None:
    keys, faults = decode_all({"good": encode(key("good")), "bad": spoiled})
    assert keys == {"good": key("good")}
    assert list(faults) == ["bad"]


def test_a_key_without_an_expiry_never_expires() -> None:
    assert decode("k", entry()).expires_at == NEVER


@pytest.mark.parametrize(
    ("name", "good"),
    [("alice", True), ("team-1.ci_x", True), ("", False), ("-a", False), ("a/b", False), ("a" * 64, False)],
)
def test_names(name: str, good: bool) -> None:
    assert (name_fault(name) is None) == good
