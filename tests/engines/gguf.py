"""Writes files of llama.cpp's form, GGUF, with random weights.

The form is simple enough to be written by hand: a header, typed keys, tensor descriptions, aligned data.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

Value = bool | int | float | str | Sequence[float]

_VERSION, _ALIGNMENT, _TYPE_F32 = 3, 32, 0
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9


def write(
    path: Path, keys: Mapping[str, Value], shapes: Mapping[str, tuple[int, ...]], chance: random.Random, spread: float
) -> None:
    """`shapes` are the tensors, the innermost dimension first; weights are spread around zero."""
    descriptions, data = b"", b""
    for name, shape in shapes.items():
        descriptions += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _TYPE_F32, len(data))
        size = math.prod(shape)
        data += _aligned(struct.pack(f"<{size}f", *(chance.gauss(0, spread) for _ in range(size))))
    head = b"GGUF" + struct.pack("<IQQ", _VERSION, len(shapes), len(keys))
    head += b"".join(_text(name) + _value(value) for name, value in keys.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_aligned(head + descriptions) + data)


def _aligned(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    match value:
        case str():
            return struct.pack("<I", _STRING) + _text(value)
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case _:
            return struct.pack(f"<IIQ{len(value)}f", _ARRAY, _FLOAT32, len(value), *value)
