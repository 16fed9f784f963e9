"""What passes through the gateway, and what does not."""

from __future__ import annotations

import pytest

from kubeai.inference.answer import MalformedAnswerError, read_head
from kubeai.inference.headers import engine_lines, trailer_lines, valid_request_id

STOPS_BEFORE_THE_ENGINE = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Authorization",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
    b"Content-Length",
    b"Expect",
    b"Host",
    b"X-Label-Selector",
    b"X-KubeAI-Anything",
    b"X-Request-Id",
    b"X-Forwarded-For",
    b"Forwarded",
]


@pytest.mark.parametrize("name", STOPS_BEFORE_THE_ENGINE)
def test_hop_by_hop_and_internal_headers_stop_before_the_engine(name: bytes) -> None:
    assert engine_lines([(name.lower(), b"a"), (b"x-other", b"b")]) == b"x-other: b\r\n"


def test_headers_that_connection_names_are_hop_by_hop() -> None:
    headers = [(b"x-hop", b"1"), (b"connection", b"close, X-Hop"), (b"x-end", b"2")]
    assert engine_lines(headers) == b"x-end: 2\r\n"


def test_repeated_headers_all_pass_in_their_order() -> None:
    assert engine_lines([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == b"a: 1\r\nb: 2\r\na: 3\r\n"


def test_an_answer_passes_without_its_framing_and_hop_by_hop_headers() -> None:
    headers = [(b"Server", b"s"), (b"Connection", b"X-Hop"), (b"X-Hop", b"1"), (b"Transfer-Encoding", b"chunked")]
    head = read_head(200, headers)
    assert (head.lines, head.chunked) == (b"Server: s\r\n", True)


def test_an_answer_with_a_coding_that_hides_its_end_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError):
        read_head(200, [(b"Transfer-Encoding", b"gzip")])


def test_trailers_cannot_pose_as_headers_that_matter() -> None:
    assert trailer_lines([(b"Set-Cookie", b"a"), (b"Content-Length", b"1"), (b"X-Sum", b"9")]) == b"X-Sum: 9\r\n"


@pytest.mark.parametrize(
    ("value", "valid"),
    [(b"abc-1", True), (b"", False), (b"a b", False), (b"a\xff", False), (b"a" * 129, False), (None, False)],
)
def test_a_request_id_is_kept_if_it_is_short_and_plain(value: bytes | None, valid: bool) -> None:
    assert valid_request_id(value) is valid
