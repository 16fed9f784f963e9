"""Inputs near to those that are known, for hypothesis."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from .corpus import CUT, failed, found, seeds

#: Bytes of an input that a fuzzer makes, more or less.
MAX_LENGTH = 2000
_PIECES = [
    CUT,
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b'"',
    b"0",
    b"chunked",
    b"model",
    b"--B",
    b"{",
    b"]",
]


@cache
def known(target: str) -> list[bytes]:
    return seeds(target) + found(target) + failed(target)


@st.composite
def altered(draw: st.DrawFn, target: str) -> bytes:
    """Known inputs, in one read or several, perhaps again and again, with a few bytes changed, taken out or put in."""
    others = draw(st.lists(st.tuples(st.sampled_from([b"", CUT]), st.sampled_from(known(target))), max_size=3))
    data = bytearray(draw(st.sampled_from(known(target))) + b"".join(map(b"".join, others)))
    data *= draw(st.integers(1, max(1, min(40, MAX_LENGTH // (len(data) + 1)))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 3))
        data[start : start + length] = draw(st.binary(max_size=4) | st.sampled_from(_PIECES))
    return bytes(data)
