from __future__ import annotations

import pytest

from kubeai.embedded.protobuf import MAGIC, decode
from kubeai.embedded.status import StatusError


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def _entry(key: bytes, value: bytes) -> bytes:
    return _field(1, key) + _field(2, value)


def _body(kind: str, raw: bytes) -> bytes:
    head = _field(1, b"v1") + _field(2, kind.encode())
    return MAGIC + _field(1, head) + _field(2, raw) + _field(3, b"") + _field(4, b"")


NAMED = _field(1, _field(1, b"n") + _field(2, b""))


@pytest.mark.parametrize(
    ("kind", "raw", "fields"),
    [
        pytest.param("Namespace", NAMED + _field(2, b"") + _field(3, b""), {}, id="fields of the server are left out"),
        pytest.param("ConfigMap", NAMED + _field(2, _entry(b"a", b"b")), {"data": {"a": "b"}}, id="a map of texts"),
        pytest.param("Secret", NAMED + _field(2, _entry(b"a", b"\xff")), {"data": {"a": "/w=="}}, id="a map of bytes"),
        pytest.param("ConfigMap", NAMED + _field(4, 1), {"immutable": True}, id="a boolean"),
        pytest.param("Job", NAMED + _field(2, _field(7, 0)), {"spec": {"backoffLimit": 0}}, id="zero is said"),
        pytest.param(
            "Job",
            NAMED + _field(2, _field(6, _field(2, _field(2, _field(3, b"echo") + _field(3, b"hi"))))),
            {"spec": {"template": {"spec": {"containers": [{"command": ["echo", "hi"]}]}}}},
            id="lists inside of messages",
        ),
    ],
)
def test_what_kubectl_makes_is_understood(kind: str, raw: bytes, fields: dict[str, object]) -> None:
    assert decode(_body(kind, raw)) == {"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}} | fields


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"{}", "does not begin", id="no protobuf"),
        pytest.param(_body("Deployment", NAMED), "kind Deployment", id="an unknown kind"),
        pytest.param(_body("ConfigMap", NAMED + _field(9, b"x")), "field 9 of ConfigMap", id="an unknown field"),
        pytest.param(_body("ConfigMap", NAMED)[:-20], "cannot be parsed", id="half a body"),
        pytest.param(_body("ConfigMap", bytes([0x0D]) + b"abcd"), "wire type 5", id="an unknown encoding"),
        pytest.param(_body("ConfigMap", _field(1, _field(1, 7))), "a number where text", id="a number as the name"),
        pytest.param(
            _body("Job", _field(2, _field(6, _field(2, _field(2, _field(8, b"x")))))), "resources", id="resources"
        ),
    ],
)
def test_nothing_is_lost_silently(body: bytes, words: str) -> None:
    with pytest.raises(StatusError, match=words) as refusal:
        decode(body)
    assert refusal.value.code == 415
