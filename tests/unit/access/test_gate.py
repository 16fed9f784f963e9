"""Who is let in: the gate alone, without a connection."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kubeai.access.caller import ANYONE
from kubeai.access.credentials import NOTHING, Credentials, Presented
from kubeai.access.gate import Gate, Guard
from kubeai.access.key import digest_of
from kubeai.api.openai.errors import OpenAIError
from kubeai.config.system import TrustedProxy

from .keys import NOW, FakeSecrets, gate, key, secret

ALICE = Presented(digest_of(b"sk-alice"))
PROXY: dict[str, Any] = {"networks": ["10.0.0.0/8"], "userHeader": "X-User"}


def status_of(tried: Gate, presented: Presented) -> int:
    """200 if it is let in."""
    try:
        tried.identify(presented)
    except OpenAIError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("tried", "presented", "status"),
    [
        pytest.param(gate(), NOTHING, 200, id="without keys everybody comes in"),
        pytest.param(gate(), ALICE, 200, id="even with a key that is none"),
        pytest.param(gate(required=True), NOTHING, 401, id="unless the configuration asks for one"),
        pytest.param(gate(key()), ALICE, 200, id="a key opens"),
        pytest.param(gate(key()), NOTHING, 401, id="no key does not"),
        pytest.param(gate(key()), Presented(digest_of(b"sk-bob")), 401, id="another one does not"),
        pytest.param(gate(key(expires_at=NOW)), ALICE, 401, id="an expired one does not"),
        pytest.param(gate(key(expires_at=NOW + 1)), ALICE, 200, id="one that expires later does"),
        pytest.param(gate(secrets=FakeSecrets(synced=False)), ALICE, 503, id="before they are read nobody does"),
        pytest.param(gate(trustedProxy=PROXY), NOTHING, 401, id="with a proxy nobody comes in unnamed"),
        pytest.param(gate(trustedProxy=PROXY), Presented(user="eve"), 200, id="a user whom the proxy names comes in"),
        pytest.param(gate(key(), trustedProxy=PROXY), ALICE, 200, id="beside a proxy keys are good, too"),
        pytest.param(
            gate(key(expires_at=NOW), trustedProxy=PROXY), Presented(user="alice"), 401, id="a user may expire as a key"
        ),
        pytest.param(
            gate(trustedProxy=PROXY), Presented(user="eve", selector="("), 403, id="nonsense of the proxy opens nothing"
        ),
    ],
)
def test_who_comes_in(tried: Gate, presented: Presented, status: int) -> None:  # fault P15
    assert status_of(tried, presented) == status


def test_without_keys_everybody_is_anyone() -> None:
    assert gate().identify(ALICE) is ANYONE


def test_a_key_that_is_made_changed_and_revoked_is_so_at_once() -> None:
    secrets = FakeSecrets()
    tried = gate(secrets=secrets)
    secrets.put(secret(key(priority=1)))
    assert tried.identify(ALICE).priority == 1
    secrets.put(secret(key(priority=2)))
    assert tried.identify(ALICE).priority == 2
    secrets.put(secret())
    assert status_of(tried, ALICE) == 401


def test_a_key_keeps_its_counts_while_others_change() -> None:
    secrets = FakeSecrets(key(concurrency=1), key("bob"))
    tried = gate(secrets=secrets)
    before = tried.identify(ALICE)
    secrets.put(secret(key(concurrency=1)))
    assert tried.identify(ALICE) is before


def test_a_secret_that_is_deleted_opens_nothing() -> None:
    secrets = FakeSecrets(key())
    tried = gate(secrets=secrets)
    secrets.put(None)
    assert [status_of(tried, ALICE), status_of(tried, NOTHING)] == [401, 401]


def test_a_process_that_comes_when_the_secret_is_gone_is_told_that_there_was_one() -> None:
    told: list[bool] = []
    secrets = FakeSecrets()
    Gate(secrets=secrets, guard=Guard(tell=lambda: told.append(True)))
    assert told == []
    secrets.put(secret(key()))
    secrets.put(None)
    assert told == [True]
    heir = Gate(secrets=FakeSecrets(), guard=Guard(up=True))
    assert [status_of(heir, ALICE), status_of(heir, NOTHING)] == [401, 401]


def test_users_of_a_proxy_have_the_rules_that_it_sends_or_those_of_the_key_of_their_name() -> None:
    tried = gate(key("ann", priority=7), trustedProxy=PROXY)
    ann = tried.identify(Presented(user="ann", selector="a=b", priority="1"))
    eve = tried.identify(Presented(user="eve", selector="a=b", priority="3"))
    assert (ann.identity, ann.priority, ann.may_use({})) == ("key:ann", 7, True)
    assert (eve.identity, eve.priority, eve.may_use({})) == ("user:eve", 3, False)
    assert tried.identify(Presented(user="eve", selector="a=b", priority="3")) is eve


@pytest.mark.parametrize(
    ("headers", "trusted", "expected"),
    [
        pytest.param([], True, NOTHING, id="nothing"),
        pytest.param([(b"authorization", b"Bearer sk-alice")], False, ALICE, id="a bearer"),
        pytest.param([(b"authorization", b"bearer  sk-alice ")], False, ALICE, id="spelled loosely"),
        pytest.param([(b"x-api-key", b"sk-alice")], False, ALICE, id="Anthropic's header"),
        pytest.param([(b"api-key", b"sk-alice")], False, ALICE, id="Azure's header"),
        pytest.param([(b"authorization", b"Basic abc")], False, NOTHING, id="another scheme"),
        pytest.param([(b"x-user", b"eve")], False, NOTHING, id="a user's name from just anybody"),
        pytest.param([(b"x-user", b"eve")], True, Presented(user="eve"), id="a user's name from the proxy"),
        pytest.param([(b"x-user", b"eve"), (b"x-user", b"root")], True, NOTHING, id="two names"),
        pytest.param(
            [(b"x-user", b"eve"), (b"authorization", b"Bearer sk-alice")],
            True,
            Presented(ALICE.digest, "eve"),
            id="both",
        ),
    ],
)
def test_what_headers_show(headers: list[tuple[bytes, bytes]], trusted: bool, expected: Presented) -> None:
    assert Credentials(TrustedProxy.model_validate(PROXY), trusted=trusted).read(headers) == expected


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.1.2.3", False), ("fe80::1%eth0", False), ("unknown", False)],
)
def test_only_the_proxys_own_addresses_are_trusted(address: str, trusted: bool) -> None:
    read = gate(trustedProxy=PROXY).credentials(address).read([(b"x-user", b"eve")])
    assert (read.user == "eve") == trusted


@pytest.mark.parametrize(
    ("tried", "exposed", "expected"),
    [
        pytest.param(gate(), True, ("WARNING", "no API keys are configured"), id="an open gateway warns"),
        pytest.param(gate(), False, ("INFO", "no API keys are configured"), id="less loudly on one machine"),
        pytest.param(gate(key()), True, ("INFO", "requests need an API key"), id="a guarded one says so"),
    ],
)
def test_what_is_said_at_the_start(
    tried: Gate, exposed: bool, expected: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tried.announce(exposed=exposed)
    (record,) = caplog.records
    assert record.levelname == expected[0]
    assert expected[1] in record.message
