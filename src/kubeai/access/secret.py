"""API keys as the data of one Secret: an entry for each key, by its name.

An entry is JSON with the key's hash and its rules; the key itself is in no Secret. Entries are read one by one, so
that one which somebody spoiled locks out its own key only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from kubeai.api.k8s.objects import Struct
from kubeai.api.k8s.selectors import LabelSelector

from .key import NEVER, Key

_HASH = "sha256:"
_Limit = Annotated[int, Meta(ge=1)]


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    hash: str
    created: datetime | None = None
    selector: str = ""
    requests_per_minute: _Limit | None = None
    tokens_per_minute: _Limit | None = None
    concurrency: _Limit | None = None
    expires: datetime | None = None
    priority: int = 0


_decode = msgspec.json.Decoder(_Entry).decode


def encode(key: Key) -> str:
    """The entry of a key, in base64 as Secrets have it."""
    entry = _Entry(
        hash=_HASH + key.digest.hex(),
        created=_time(key.created_at) if key.created_at else None,
        selector=key.models,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        concurrency=key.concurrency,
        expires=None if key.expires_at == NEVER else _time(key.expires_at),
        priority=key.priority,
    )
    return base64.b64encode(msgspec.json.encode(entry)).decode("ascii")


def decode(name: str, data: str) -> Key:
    """The key of an entry. Raises `ValueError` for what is none."""
    try:
        entry = _decode(base64.b64decode(data, validate=True))
        digest = bytes.fromhex(entry.hash.removeprefix(_HASH))
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if not entry.hash.startswith(_HASH) or len(digest) != 32:
        raise ValueError(f"hash is not {_HASH} and 64 hexadecimal digits")
    LabelSelector.parse(entry.selector)
    return Key(
        name=name,
        digest=digest,
        models=entry.selector,
        requests_per_minute=entry.requests_per_minute,
        tokens_per_minute=entry.tokens_per_minute,
        concurrency=entry.concurrency,
        expires_at=_unix(entry.expires) if entry.expires else NEVER,
        priority=entry.priority,
        created_at=_unix(entry.created) if entry.created else 0.0,
    )


def decode_all(data: Mapping[str, str]) -> tuple[dict[str, Key], dict[str, str]]:
    """All keys by name, and for each entry that is none why."""
    keys: dict[str, Key] = {}
    faults: dict[str, str] = {}
    for name, text in data.items():
        try:
            keys[name] = decode(name, text)
        except ValueError as error:
            faults[name] = str(error)
    return keys, faults


def _unix(when: datetime) -> float:
    """What a person wrote without a zone means the same on each gateway."""
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(round(unix_s), UTC)
