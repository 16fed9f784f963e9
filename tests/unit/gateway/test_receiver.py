"""Bytes -> requests: what is accepted, what is refused, and that neither depends on how the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubeai.gateway.receiver import MAX_PIPELINED, Phase, Receiver, Request

HOST = b"Host: h\r\n"


def receiver(max_head: int = 1000, max_body: int = 1000) -> Receiver:
    return Receiver(max_head, max_body, b"10.0.0.9")


def fed(*data: bytes, max_head: int = 1000, max_body: int = 1000) -> Receiver:
    result = receiver(max_head, max_body)
    for each in data:
        result.feed(each)
    return result


def read(*data: bytes) -> list[Request]:
    result = fed(*data)
    assert result.refusal is None
    return list(result.ready)


BODIES = {
    "with a length": (b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "empty with a length": (b"Content-Length: 0\r\n\r\n", b""),
    "without a body": (b"\r\n", b""),
    "in chunks": (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n", b"hello"),
    "in chunks with trailers": (
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: x\r\nX-Sum: 1\r\n\r\n",
        b"hello",
    ),
    "empty in chunks": (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
}


@pytest.mark.parametrize(("rest", "body"), BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_body_is_read_however_it_is_framed_and_cut(rest: bytes, body: bytes, step: int) -> None:
    data = (b"POST /v1/x HTTP/1.1\r\n" + HOST + rest) * 2
    requests = read(*[data[i : i + step] for i in range(0, len(data), step)])
    assert [(r.method, r.target, bytes(r.body)) for r in requests] == [(b"POST", b"/v1/x", body)] * 2


KEEP_ALIVE = {
    "HTTP/1.1 keeps": (b"GET / HTTP/1.1\r\n" + HOST, True),
    "HTTP/1.1 with close": (b"GET / HTTP/1.1\r\nConnection: close\r\n" + HOST, False),
    "HTTP/1.0 closes": (b"GET / HTTP/1.0\r\n", False),
    "HTTP/1.0 with keep-alive": (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
}


@pytest.mark.parametrize(("head", "kept"), KEEP_ALIVE.values(), ids=KEEP_ALIVE.keys())
def test_the_client_decides_whether_the_connection_is_kept(head: bytes, kept: bool) -> None:
    assert read(head + b"\r\n")[0].keep_alive is kept


REFUSED = {
    "both framings": (HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "both framings, the other way round": (HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "two lengths": (HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    "the same length twice": (HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
    "a list of lengths": (HOST + b"Content-Length: 5, 5\r\n\r\n", 400),
    "a negative length": (HOST + b"Content-Length: -5\r\n\r\n", 400),
    "a length with a sign": (HOST + b"Content-Length: +5\r\n\r\n", 400),
    "a hexadecimal length": (HOST + b"Content-Length: 0x5\r\n\r\n", 400),
    "a length beyond all numbers": (HOST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "another coding": (HOST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "another coding before chunked": (HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "chunked twice": (HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "an obscured coding": (HOST + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    "a chunk size that is none": (HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    "a chunk longer than it says": (HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
    "a chunk size with a bare line feed": (HOST + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400),
    "a bare line feed after a header": (HOST + b"A: b\nC: d\r\n\r\n", 400),
    "a bare carriage return": (HOST + b"A: b\rC: d\r\n\r\n", 400),
    "a folded header": (HOST + b"A: b\r\n c\r\n\r\n", 400),
    "a space before the colon": (HOST + b"A : b\r\n\r\n", 400),
    "a header without a name": (HOST + b": b\r\n\r\n", 400),
    "a header without a colon": (HOST + b"A\r\n\r\n", 400),
    "a null byte": (HOST + b"A: b\0c\r\n\r\n", 400),
    "no host": (b"\r\n", 400),
    "two hosts": (HOST + HOST + b"\r\n", 400),
    "an expectation that nobody knows": (HOST + b"Expect: miracles\r\n\r\n", 417),
}


@pytest.mark.parametrize(("rest", "status"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("step", [1, 1000])
def test_what_two_readers_could_read_differently_is_refused(rest: bytes, status: int, step: int) -> None:
    data = b"POST / HTTP/1.1\r\n" + rest
    result = fed(*[data[i : i + step] for i in range(0, len(data), step)])
    assert result.refusal is not None
    assert result.refusal.status == status
    assert not result.ready


LINES = {
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "a version of the future": b"GET / HTTP/3.0\r\nHost: h\r\n\r\n",
    "an unknown method": b"FROB / HTTP/1.1\r\nHost: h\r\n\r\n",
    "a path with a tab": b"GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n",
    "a line ended by a bare line feed": b"GET / HTTP/1.1\nHost: h\n\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", LINES.values(), ids=LINES.keys())
def test_what_is_no_request_of_ours_is_refused(data: bytes) -> None:
    refusal = fed(data).refusal
    assert refusal is not None
    assert refusal.status == 400


def test_after_a_refusal_nothing_is_read_any_more() -> None:
    result = fed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(result.ready) == 1
    assert result.refusal is not None


# fault P7: every growth has an end
LARGE = {
    "one long header at once": (b"A: " + b"x" * 2000 + b"\r\n\r\n", 1 << 30, 431),
    "one long header in pieces": (b"A: " + b"x" * 2000 + b"\r\n\r\n", 100, 431),
    "headers without end": (b"A: b\r\n" * 400, 100, 431),
    "a body that announces its size": (b"Content-Length: 1001\r\n\r\n", 100, 413),
    "a body in one large chunk": (b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 100, 413),
    "a body in chunks at once": (
        b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        9999,
        413,
    ),
    "chunk extensions without end": (b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 3000, 100, 431),
    "trailers without end behind a body": (
        b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n" + b"A: b\r\n" * 1000,
        100,
        431,
    ),
    "one long trailer behind a body": (
        b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n0\r\nA: " + b"b" * 5000,
        100,
        431,
    ),
    "trailers without end": (b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 1000, 100, 431),
}


@pytest.mark.parametrize(("rest", "step", "status"), LARGE.values(), ids=LARGE.keys())
def test_what_is_too_large_is_refused_before_it_is_whole(rest: bytes, step: int, status: int) -> None:
    data = b"POST / HTTP/1.1\r\n" + HOST + rest
    refusal = fed(*[data[i : i + step] for i in range(0, len(data), step)]).refusal
    assert refusal is not None
    assert refusal.status == status


def test_a_long_path_counts_as_head() -> None:
    refusal = fed(b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n" + HOST + b"\r\n").refusal
    assert refusal is not None
    assert refusal.status == 431


def test_as_large_as_allowed_is_not_too_large() -> None:
    (request,) = read(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n", b"x" * 1000)
    assert len(request.body) == 1000


def test_pipelined_requests_are_bounded() -> None:
    # fault P7
    result = fed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * (MAX_PIPELINED + 1))
    assert len(result.ready) == MAX_PIPELINED
    assert result.refusal is not None


def test_a_body_that_begins_behind_a_large_one_is_no_overhead() -> None:
    data = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000
    cut = len(data) - 990
    requests = read(data[:cut], data[cut:] + data[: cut - 9], data[cut - 9 :])
    assert [len(request.body) for request in requests] == [1000, 1000]


def test_the_phase_tells_what_is_awaited() -> None:
    result = receiver()
    phases = []
    for data in (b"POST / HT", b"TP/1.1\r\nHost: h\r\nContent-Length: 2\r\n", b"\r\na", b"b"):
        result.feed(data)
        phases.append(result.phase)
    assert phases == [Phase.HEAD, Phase.HEAD, Phase.BODY, Phase.IDLE]


def test_headers_are_read_anew_when_they_differ() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: %b\r\nContent-Length: 0\r\n\r\n"
    assert [r.head.content_type for r in read(head % b"a", head % b"a", head % b"b")] == [b"a", b"a", b"b"]


def test_length_and_id_belong_to_one_request_only() -> None:
    first = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nX-Request-Id: one\r\n\r\na"
    second = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert [(r.length, r.given_id) for r in read(first + second)] == [(1, b"one"), (None, None)]


UPGRADES = {
    "with a length": (b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "in chunks": (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "without a body": (b"\r\n", b""),
}


@pytest.mark.parametrize(("rest", "body"), UPGRADES.values(), ids=UPGRADES.keys())
@pytest.mark.parametrize("step", [1, 1000])
def test_an_offer_of_http2_is_ignored(rest: bytes, body: bytes, step: int) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    data = (b"POST /x HTTP/1.1\r\n" + HOST + offer + rest) * 2
    requests = read(*[data[i : i + step] for i in range(0, len(data), step)])
    assert [(r.target, bytes(r.body), r.keep_alive) for r in requests] == [(b"/x", body, True)] * 2
    assert not any(b"http2-settings" in r.head.lines.lower() for r in requests)  # they are of this connection only


#: What an old or a new client says of its connection beside the offer -> whether it is new, and keeps the connection.
OFFERS = {
    "an old client": (b"1.0", b"Upgrade", (False, False)),
    "an old client that stays": (b"1.0", b"keep-alive, Upgrade", (False, True)),
    "a new client": (b"1.1", b"Upgrade", (True, True)),
    "a new client that goes": (b"1.1", b"Upgrade, close", (True, False)),
    "a client that names the body's length": (b"1.1", b"Upgrade, content-length, transfer-encoding", (True, True)),
}


@pytest.mark.parametrize(("version", "connection", "read_as"), OFFERS.values(), ids=OFFERS.keys())
def test_an_offer_changes_nothing_else(version: bytes, connection: bytes, read_as: tuple[bool, bool]) -> None:
    head = b"POST /x HTTP/%b\r\n%bConnection: %b\r\nUpgrade: h2c\r\n" % (version, HOST, connection)
    (request,) = read(head + b"Content-Length: 2\r\n\r\nhi")
    assert ((request.http11, request.keep_alive), bytes(request.body)) == (read_as, b"hi")


def test_an_offer_in_several_headers_is_ignored_too() -> None:
    offer = (
        b"Connection: X-A\r\nConnection: Upgrade\r\nConnection: X-B\r\nUpgrade: h2c\r\nX-A: a\r\nX-B: b\r\nX-C: c\r\n"
    )
    (request,) = read(b"POST /x HTTP/1.1\r\n" + HOST + offer + b"\r\n")
    assert [name in request.head.lines.lower() for name in (b"x-a", b"x-b", b"x-c")] == [False, False, True]


def test_connect_is_refused() -> None:
    assert fed(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").refusal is not None


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_whatever_comes_is_read_or_refused(junk: list[bytes], begun: bool) -> None:
    start = [b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"] if begun else []
    result = fed(*start, *junk)
    assert result.refusal is None or result.refusal.status in (400, 413, 417, 431)


MESSAGES = [
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Request-Id: i\r\n\r\nhi",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe",
    b"llo",
]


@given(st.lists(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3).map(b"".join), max_size=12))
@example([MESSAGES[0], MESSAGES[9] + MESSAGES[6], MESSAGES[0]])  # known, but nothing may come behind a close
@example([MESSAGES[0]] * (MAX_PIPELINED + 1))
def test_a_head_that_comes_again_means_what_the_parser_says(reads: list[bytes]) -> None:
    # Fed byte by byte nothing is recognised, so that the parser is the judge.
    at_once, judged = fed(*reads), fed(*[bytes([byte]) for read in reads for byte in read])
    assert list(at_once.ready) == list(judged.ready)
    assert repr(at_once.refusal) == repr(judged.refusal)
    assert at_once.phase is judged.phase or at_once.refusal is not None
