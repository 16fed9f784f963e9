"""The `model` part of a form."""

from __future__ import annotations

import contextlib
import email.message
import email.parser
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.openai.errors import OpenAIError
from kubeai.inference.multipart import MAX_PARTS, read_form

TYPE = "multipart/form-data; boundary=XX"


def part(name: str, content: bytes, *more: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def form(*parts: bytes, boundary: bytes = b"XX") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + p + b"\r\n" for p in parts) + b"--" + boundary + b"--\r\n"


def parts_of(body: bytes) -> list[tuple[str, bytes]]:
    """As another reader of forms sees it."""
    raw = f"Content-Type: {TYPE}\r\n\r\n".encode() + body
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(raw)
    return [(str(p.get_param("name", header="content-disposition")), _content(p)) for p in message.iter_parts()]


def _content(part: email.message.Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


FILE = part("file", b"\x00\xff\r\n--X not the boundary\r\n", "Content-Type: audio/wav")

ORDERS = {
    "first": form(part("model", b"m"), FILE),
    "last": form(FILE, part("model", b"m")),
    "between": form(part("language", b"en"), part("model", b"m"), FILE),
    "after a preamble": b"preamble\r\n" + form(part("model", b"m"), FILE),
}


@pytest.mark.parametrize("body", ORDERS.values(), ids=ORDERS.keys())
def test_the_model_is_read_and_taken_out_and_the_rest_stays(body: bytes) -> None:
    found = read_form(TYPE, body)
    assert found.model == "m"
    assert parts_of(b"".join(found.body)) == [p for p in parts_of(body) if p[0] != "model"]


def test_a_large_upload_is_not_copied() -> None:
    # fault P7
    upload = bytearray(form(part("model", b"m"), part("file", b"x" * 1_000_000)))
    pieces = read_form(TYPE, upload).body
    assert all(isinstance(piece, memoryview) and piece.obj is upload for piece in pieces)


REFUSED = {
    "another content type": ("application/json", form(part("model", b"m")), "multipart/form-data"),
    "no boundary": ("multipart/form-data", form(part("model", b"m")), "boundary"),
    "two boundaries": (TYPE + "; boundary=YY", form(part("model", b"m")), "ambiguous"),
    "a boundary that does not occur": (TYPE, b"hello", "does not occur"),
    "no end": (TYPE, form(part("model", b"m"))[:-6], "last boundary"),
    "no model": (TYPE, form(FILE), "must have a part 'model'"),
    "an empty model": (TYPE, form(part("model", b"")), "must have a part 'model'"),
    "two models": (TYPE, form(part("model", b"a"), part("model", b"b")), "more than one"),
    "a model that is a file": (TYPE, form(part("model", b"x" * 5000)), "must be the name"),
    "a model that is not UTF-8": (TYPE, form(part("model", b"\xff")), "must be the name"),
    "a part without a name": (TYPE, form(b"X: y\r\n\r\nz"), "one Content-Disposition"),
    "a part with two names": (TYPE, form(b'Content-Disposition: form-data; name="a"; name="model"\r\n\r\nz'), "ambig"),
    "a name in the other spelling": (TYPE, form(b"Content-Disposition: form-data; name*=utf-8''model\r\n\r\nz"), "amb"),
    "too many parts": (TYPE, form(*[part("a", b"")] * (MAX_PARTS + 1)), "more than"),
}


@pytest.mark.parametrize(("content_type", "body", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_form_that_two_readers_could_read_differently_is_refused(content_type: str, body: bytes, says: str) -> None:
    with pytest.raises(OpenAIError, match=says) as caught:
        read_form(content_type, body)
    assert caught.value.status == 400


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_comes_is_read_or_refused(junk: bytes, at: int) -> None:
    body = form(part("model", b"m"), FILE)
    broken = body[:at] + junk + body[at:]
    with contextlib.suppress(OpenAIError):
        read_form(TYPE, broken)
