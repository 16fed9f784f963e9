"""Recognising a head that came before."""

from __future__ import annotations

import pytest

from kubeai.inference.repeats import KnownHead

HEAD = b"POST / HTTP/1.1\r\nA: b\r\nContent-Length: 5\r\nC: d\r\n\r\n"


def known(message: bytes = HEAD + b"hello") -> KnownHead:
    head = KnownHead()
    head.learn(message)
    return head


def of(length: bytes, body: bytes) -> bytes:
    return HEAD.replace(b" 5\r", b" " + length + b"\r") + body


@pytest.mark.parametrize(("length", "body"), [(b"5", b"world"), (b"0", b""), (b"12", b"x" * 12), (b"007", b"x" * 7)])
def test_the_same_head_with_another_body_is_recognised(length: bytes, body: bytes) -> None:
    data = of(length, body)
    assert data[known().body_start(data) :] == body


OTHER = {
    "another header": HEAD.replace(b"A: b", b"A: x") + b"hello",
    "another case": HEAD.replace(b"A: b", b"a: b") + b"hello",
    "another header behind the length": HEAD.replace(b"C: d", b"C: x") + b"hello",
    "one header more": HEAD.replace(b"C: d", b"C: d\r\nE: f") + b"hello",
    "a second length": HEAD.replace(b"C: d", b"Content-Length: 5") + b"hello",
    "another path": HEAD.replace(b"POST /", b"POST /x") + b"hello",
    "a body that is not all there": HEAD + b"hell",
    "more than one message": HEAD + b"hello" + HEAD,
    "a length that is no number": of(b"5x", b"hello"),
    "no length": of(b"", b"hello"),
    "a negative length": of(b"-5", b"hello"),
    "digits of another script": of("٥".encode(), b"hello"),
    "half a head": HEAD[:40],
    "nothing": b"",
}


@pytest.mark.parametrize("data", OTHER.values(), ids=OTHER.keys())
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert known().body_start(data) == 0


UNFIT = {
    "a head without a length": b"GET / HTTP/1.1\r\nA: b\r\n\r\n",
    "a message in chunks": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two messages": HEAD + b"hello" + HEAD + b"hello",
    "a length only in the body": b"POST / HTTP/1.1\r\nA: b\r\n\r\n\r\nContent-Length: 0\r\n",
}


@pytest.mark.parametrize("message", UNFIT.values(), ids=UNFIT.keys())
def test_what_cannot_be_recognised_is_forgotten(message: bytes) -> None:
    head = known()
    assert head.learn(message) is False
    assert head.body_start(HEAD + b"hello") == 0
