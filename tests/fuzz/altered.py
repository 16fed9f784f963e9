"""Inputs near to those that are known, for hypothesis."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from .corpus import CUT, failed, found, seeds

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
    """A known input with a few bytes changed, taken out or put in, or another one behind it."""
    data = bytearray(draw(st.sampled_from(known(target))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 3))
        data[start : start + length] = draw(st.binary(max_size=4) | st.sampled_from(_PIECES))
    return bytes(data) + draw(st.just(b"") | st.sampled_from(known(target)))
