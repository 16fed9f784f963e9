"""The inputs that are kept: one file for each target, one input a line, so that they are replayed and reviewed easily.

A fuzzer begins with the seeds and with what it found before; of what takes it to new places in the code the smallest is
kept. What has once done harm is kept for ever, whatever its size.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from tests.unit.gateway import corpus

#: Stands in an input where one read ends and the next one begins. No text of HTTP has it.
CUT = b"\xff"
DIRECTORY = Path(__file__).parents[1] / "data" / "fuzz"
FAILED = DIRECTORY / "failed"
MAX_INPUTS = 250
MAX_BYTES = 600

_JSON = (
    b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
    b'{"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url"}]}],"model":"m_a"}',
    b'{"prompt":["a",[1,2]],"model":"\\u006d","Model":1}',
    b'{"input":[[1,2,3]],"mo\\u0064el":"m","x":{"model":"y"}}',
    b'{"stream":true,"model":"m","stream_options":{"a":1}}',
    b'{"stream":true,"model":"m"}',
    b'{ "model":"m","stream_options":null,"stream":true}',
    b'{"model":"m","stream_options":null,"stream_options":null,"stream":true}',
    b'{"query":"q","documents":["a"],"model":"m","model":"n"}',
)
_FORM = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\nm\r\n'
_FORMS = (
    b"multipart/form-data; boundary=B\n" + _FORM % b"file" + _FORM % b"model" + b"--B--\r\n",
    b'multipart/form-data; boundary="B"\npreamble\r\n' + _FORM % b"model" + b"--B--\r\nepilogue",
    b"multipart/form-data; boundary=B\n" + _FORM % b"model" + _FORM % b"model" + b"--B--",
)


_REQUEST = b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nA: b\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nA: b\r\n\r\n"
_EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n"
_EVENT = b"b\r\ndata: {}  \n\n\r\n"
_STREAMS = (
    _EVENTS % (_EVENT * 3) + CUT + _EVENTS % b"",
    _EVENTS % (_EVENT + b"9;x=y\r\ndata: {}\n\n\r\n" + _EVENT + b"2\r\n\n\n\r\nB\r\ndata: {}  \n\n\r\n" + _EVENT),
    _EVENTS % (_EVENT + b"16\r\n7\r\ndata: \n\n\r\n6\r\nda\n\n\r\n" + _EVENT),
    _EVENTS % (_EVENT * 2 + b"9\r\ndata: {}\n\n\r\nc\r\n" + _EVENT),
)
_SURFACE = (
    b"GET /openai/v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /openai/v1/models/nobody HTTP/1.1\r\nHost: h\r\n\r\n",
    b"DELETE /openai/v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
    b'POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n{"model":"m"}',
    b'POST /openai/v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Length: 14\r\n\r\n{"model":null}',
    b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]",
)


def _in_turn(head: bytes) -> list[bytes]:
    """The same head again and again, with bodies that are as long as it says, and with others."""
    hello, whole = head % 5 + b"hello", head % 13 + b'{"model":"m"}'
    last = hello.replace(b"HTTP/1.1", b"HTTP/1.0")
    return [
        CUT.join(each)
        for each in (
            (hello, whole),
            (whole, hello, hello),
            (hello, whole[:-1], b"}"),
            (hello, hello * 2),
            (hello, hello + last, hello),
            (head % 0,) * 35,
        )
    ]


def seeds(target: str) -> list[bytes]:
    """Written by hand."""
    match target:
        case "requests":
            return [case.data for case in corpus.requests()] + _in_turn(_REQUEST)
        case "answers":
            return [case.data for case in corpus.answers()] + _in_turn(_ANSWER) + list(_STREAMS)
        case "forms":
            return list(_FORMS)
        case "selectors":
            return [b"team=a,env in (x, y)\n!b", b"a!=b,c notin (d)", b"a"]
        case "surface":
            return list(_SURFACE)
        case _:
            return list(_JSON)


def found(target: str) -> list[bytes]:
    """What took a fuzzer to new places in the code."""
    return _read(DIRECTORY / f"{target}.txt")


def failed(target: str, directory: Path = FAILED) -> list[bytes]:
    """What has once done harm."""
    return _read(directory / f"{target}.txt")


def keep(target: str, inputs: Iterable[bytes]) -> int:
    """Write the smallest of `inputs`; returns how many."""
    chosen = sorted({data for data in inputs if len(data) <= MAX_BYTES}, key=lambda data: (len(data), data))
    chosen = chosen[:MAX_INPUTS]
    _write(DIRECTORY / f"{target}.txt", chosen)
    return len(chosen)


def remember(target: str, inputs: Iterable[bytes], directory: Path = FAILED) -> Path:
    """Keep inputs that did harm; returns the file."""
    path = directory / f"{target}.txt"
    _write(path, dict.fromkeys([*_read(path), *inputs]))
    return path


def _read(path: Path) -> list[bytes]:
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [base64.b64decode(line) for line in lines]


def _write(path: Path, inputs: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(base64.b64encode(data).decode("ascii") + "\n" for data in inputs), encoding="ascii")
