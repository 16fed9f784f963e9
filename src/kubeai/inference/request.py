"""What a JSON request is about, found without decoding it: the model's name, and where it stands in the bytes.

The body goes to the engine byte for byte (fault P6), so it is never decoded into objects and written again: a decoder
that knows one field skips all the rest in compiled code. Only for an adapter is something changed, the bytes of
`model`'s value.

An engine must not read another model than we did. JSON leaves open which of two equal keys counts, and Go's decoder
takes `Model` for `model`; bodies with more than one of these are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import msgspec

from kubeai.api.openai.errors import OpenAIError, invalid_request

#: A whole body as it arrived.
Body = bytes | bytearray
#: A piece of a body. Several of them make one body without being copied together.
Buffer = bytes | bytearray | memoryview

#: All that decoding a body can raise: it may be malformed, not UTF-8 where we look, or nested beyond reason.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_SPELLINGS = tuple("".join(letters) for letters in product(*((c, c.upper()) for c in "model")))

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
#: In valid JSON: a string (group 1 if it is a key), or where an object or array begins or ends.
_TOKEN = re.compile(rb"%b([ \t\r\n]*+:[ \t\r\n]*+)?|[][{}]" % _STRING, re.DOTALL)
#: A value without others in it: a string, a number, or a word.
_VALUE = re.compile(rb"%b|[^][{}\",: \t\r\n]++" % _STRING, re.DOTALL)


_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_ASKS_FOR_USAGE = b'"stream_options":{"include_usage":true},'


class Asked(NamedTuple):
    """What a body says that the gateway looks at."""

    model: str
    #: As they are in the body; None: they are not there, or are null.
    stream: object = None
    stream_options: object = None


class _Value:
    """Stands for a value that `ModelFinder` has noted."""


class ModelFinder:
    """Finds the model that a JSON body asks for.

    The decoder hands over the value of every key that an engine could take for `model`, however it is spelled and
    however often it comes: that is how a repeated key is noticed at no cost.
    """

    def __init__(self) -> None:
        #: The values of the body in hand; empty between two calls.
        self._seen: list[Any] = []
        self._value = _Value()
        fields: list[tuple[str, Any, Any]] = [(spelling, _Value, None) for spelling in _SPELLINGS]
        fields += [("stream", Any, None), ("stream_options", Any, None)]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("_Body", fields), dec_hook=self._note)

    def find(self, body: Body) -> Asked:
        """Raises `OpenAIError` (400) for a body that names no model, or several."""
        try:
            found: Any = self._decoder.decode(body)
            seen = self._seen.copy()
        except DECODE_ERRORS as error:
            raise _malformed(body, error) from None
        finally:
            self._seen.clear()
        if len(seen) > 1:
            raise invalid_request("The request body names 'model' more than once.", param="model")
        if found.model is None:
            raise invalid_request("The request body must name a model in 'model'.", param="model")
        name: object = seen[0]
        if not isinstance(name, str) or not name:
            raise invalid_request("'model' must be the name of a model.", param="model")
        return Asked(name, found.stream, found.stream_options)

    def _note(self, _: type, value: object) -> _Value:
        self._seen.append(value)
        return self._value


class Edit(NamedTuple):
    """Other bytes in the place of some."""

    start: int
    end: int
    new: bytes


def edited(body: Body, edits: Iterable[Edit]) -> tuple[Buffer, ...]:
    """The body with the edits, which do not overlap, as pieces of the old one."""
    view = memoryview(body)
    pieces: list[Buffer] = []
    done = 0
    for edit in sorted(edits):
        pieces += (view[done : edit.start], edit.new)
        done = edit.end
    return (*pieces, view[done:])


def model_edit(body: Body, name: str) -> Edit:
    """Another value of `model`; `body` has passed `ModelFinder.find`."""
    return Edit(*model_span(body), msgspec.json.encode(name))


def model_span(body: Body) -> tuple[int, int]:
    """Where the value of the outermost object's `model` is, quotes included."""
    span = next(_spans(body, "model"), None)  # there is no other, see `ModelFinder`
    if span is None or body[span[0]] != ord('"'):
        raise invalid_request("The request body must name a model in 'model'.", param="model")
    return span


def usage_edit(body: Body, asked: Asked) -> Edit | None:
    """Asks for the usage of a stream; None where the client has done so, or there is no stream."""
    options = asked.stream_options
    if not _is_true(asked.stream) or (isinstance(options, dict) and _is_true(options.get("include_usage"))):
        return None
    start = body.index(b"{") + 1
    if options is None and b"stream_options" not in body and b"\\u00" not in body:  # nor is it spelled with escapes
        return Edit(start, start, _ASKS_FOR_USAGE)
    wanted = msgspec.json.encode((options if isinstance(options, dict) else {}) | {"include_usage": True})
    spans = list(_spans(body, "stream_options"))
    if spans:
        return Edit(*spans[-1], wanted)  # decoders go by the last
    return Edit(start, start, b'"stream_options":%b,' % wanted)


def _is_true(said: object) -> bool:
    """As pydantic reads it, with which most engines read requests: not only JSON's own word is true."""
    if isinstance(said, str):
        return said.lower() in _TRUE
    return isinstance(said, int | float) and said == 1  # `True` is equal to it


def _spans(body: Body, wanted: str) -> Iterator[tuple[int, int]]:
    """Where the values of a key of the outermost object are."""
    depth = 0
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and token[1] is not None and _key(token) == wanted:
            yield token.end(), _value_end(body, token.end())


def _value_end(body: Body, start: int) -> int:
    """Behind the value that begins at `start`."""
    value = _VALUE.match(body, start)
    if value is not None:
        return value.end()
    depth = 0
    for token in _TOKEN.finditer(body, start):
        first = body[token.start()]
        depth += (first in b"{[") - (first in b"}]")
        if depth == 0 and first in b"}]":
            return token.end()
    return len(body)


def _key(token: re.Match[bytes]) -> str | None:
    """None for one that is not UTF-8: `ModelFinder` passes those over, too."""
    try:
        return msgspec.json.decode(token[0][: token.start(1) - token.start()], type=str)
    except DECODE_ERRORS:
        return None


def _malformed(body: Body, error: Exception) -> OpenAIError:
    if not body:
        return invalid_request("The request body is empty; it must be a JSON object.")
    if isinstance(error, RecursionError):
        return invalid_request("The request body is nested too deeply.")
    if isinstance(error, msgspec.ValidationError):
        return invalid_request("The request body must be a JSON object.")
    return invalid_request(f"The request body is not valid JSON: {error}.")
