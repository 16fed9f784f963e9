"""The `model` part of a multipart form: read, and cut out of the body that the engine gets.

FasterWhisper refuses a form with a `model` in it. Uploads are large, so the form is never taken apart: boundaries are
searched in the bytes as they came, only the heads of the parts are read, and what is sent on is slices (fault P7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubeai.api.openai.errors import OpenAIError, invalid_request

from .request import Body, Buffer

#: More parts than any form of this API has; a bound on the work that one body can ask for.
MAX_PARTS = 128
MAX_PART_HEAD_BYTES = 8 * 1024
MAX_NAME_BYTES = 1024

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


@dataclass(frozen=True, slots=True)
class Form:
    """What a form asks for, and the form without it."""

    model: str
    body: tuple[Buffer, ...]


def read_form(content_type: str, body: Body) -> Form:
    """Raises `OpenAIError` (400) for what is no well-formed form, or names no model, or several."""
    model: str | None = None
    cuts: list[slice] = []
    for part in _parts(_boundary(content_type), body):
        if part.name != "model":
            continue
        if model is not None:
            raise invalid_request("The form has more than one part 'model'.", param="model")
        model = _value(body, part)
        cuts.append(slice(part.start, part.end))
    if not model:
        raise invalid_request("The form must have a part 'model' with the name of a model.", param="model")
    view = memoryview(body)
    cut = cuts[0]
    return Form(model, (view[: cut.start], view[cut.stop :]))


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    #: From the first dash of the part's own boundary to that of the next one: without it, the form is still one.
    start: int
    end: int
    content: slice


def _boundary(content_type: str) -> bytes:
    kind, _, _ = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise invalid_request("The Content-Type of this request must be multipart/form-data.")
    boundary = _parameters(content_type).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise invalid_request("The Content-Type of the form must have a valid boundary.")
    return b"--" + boundary.encode("ascii")


def _parameters(header: str) -> dict[str, str]:
    """Refuses what two readers could read differently: a repeated name, or one in RFC 5987's other form."""
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(header):
        key = name.lower()
        if key in found or key == "name*":
            raise _malformed(f"the parameter {key!r} is ambiguous")
        found[key] = plain or re.sub(r"\\(.)", r"\1", quoted)
    return found


def _parts(boundary: bytes, data: Body) -> list[_Part]:
    start = 0 if data.startswith(boundary) else _after_line_end(data.find(b"\r\n" + boundary))
    parts: list[_Part] = []
    while True:
        line = start + len(boundary)
        if data[line : line + 2] == b"--":
            return parts
        if len(parts) == MAX_PARTS:
            raise invalid_request(f"The form has more than {MAX_PARTS} parts.")
        head_start = _line_end(data, line)
        end = data.find(b"\r\n" + boundary, head_start - 2)
        if end < 0:
            raise _malformed("the last boundary is missing")
        parts.append(_part(data, start, head_start, end))
        start = end + 2


def _after_line_end(position: int) -> int:
    if position < 0:
        raise _malformed("the boundary of its Content-Type does not occur")
    return position + 2


def _line_end(data: Body, position: int) -> int:
    """After the boundary only blanks may stand on its line."""
    end = data.find(b"\r\n", position, position + 128)
    if end < 0 or data[position:end].strip(b" \t"):
        raise _malformed("a boundary is not alone on its line")
    return end + 2


def _part(data: Body, start: int, head_start: int, end: int) -> _Part:
    head_end = data.find(b"\r\n\r\n", head_start, min(end, head_start + MAX_PART_HEAD_BYTES))
    if head_end < 0:
        raise _malformed("a part has no head, or one that is too large")
    head = data[head_start:head_end].decode("utf-8", "replace")
    return _Part(_name(head), start, end + 2, slice(head_end + 4, end))


def _name(head: str) -> str:
    lines = [line.partition(":") for line in head.split("\r\n")]
    values = [value for key, _, value in lines if key.strip().lower() == "content-disposition"]
    if len(values) != 1:
        raise _malformed("a part must have one Content-Disposition")
    return _parameters(values[0]).get("name", "")


def _value(body: Body, part: _Part) -> str:
    raw = body[part.content]
    if len(raw) > MAX_NAME_BYTES:
        raise invalid_request("'model' must be the name of a model.", param="model")
    try:
        return str(raw, "utf-8").strip()
    except UnicodeDecodeError:
        raise invalid_request("'model' must be the name of a model.", param="model") from None


def _malformed(what: str) -> OpenAIError:
    return invalid_request(f"The form is malformed: {what}.")
