"""What `kubeai keys` does to the Secret that the gateways watch."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubeai.access.key import NEVER, RANDOM_BYTES, Key, digest_of, key_text, name_fault
from kubeai.access.secret import decode_all, encode
from kubeai.api.k8s.duration import DurationError, parse_duration
from kubeai.api.k8s.resources import SECRETS
from kubeai.api.k8s.selectors import LabelSelector, SelectorError
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError

from .errors import CLIError

JSONObject = dict[str, Any]

#: Two people who make their keys at once.
_ATTEMPTS = 5
_DAYS = re.compile(r"(\d{1,20})d")
_DAY_S = 86_400
_END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the command line says about a new key."""

    models: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    expires: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """A key that nobody else knows."""

    name: str
    key: str
    notes: tuple[str, ...] = ()


async def create_key(client: Client, secret: str, name: str, rules: Rules) -> Made:
    key = key_text(secrets.token_bytes(RANDOM_BYTES))
    entry = {name: encode(_key(name, key, rules, time.time()))}
    for _ in range(_ATTEMPTS):
        found = await _read(client, secret)
        if found is not None and name in (found.get("data") or {}):
            raise CLIError(f"there is a key {name} already: revoke it first, or choose another name")
        try:
            await _write(client, secret, found, entry)
        except APIError as error:
            if not (error.conflict or error.already_exists):
                raise
            continue
        first = () if found is not None else ("This is the first key: from now on requests without one are refused.",)
        return Made(name, key, first)
    raise CLIError(f"the Secret {secret} changes all the time; try again")


async def revoke_key(client: Client, secret: str, name: str) -> list[str]:
    """Returns what else is to be said."""
    found = await _read(client, secret)
    data = (found or {}).get("data") or {}
    if name not in data:
        raise CLIError(f"there is no key {name}; `kubeai keys list` shows those that are")
    await client.patch(SECRETS, secret, {"data": {name: None}})
    if len(data) > 1:
        return []
    return ["No key is left: every request is refused until there is one, or the Secret is gone and KubeAI restarts."]


async def key_rows(client: Client, secret: str) -> list[JSONObject]:
    """A row for each key, in the order of their names."""
    data = ((await _read(client, secret)) or {}).get("data") or {}
    keys, faults = decode_all(data)
    if faults:
        named = "\n".join(f"entry {name} of the Secret {secret}: {fault}" for name, fault in faults.items())
        raise CLIError(named)
    return [_row(key) for _, key in sorted(keys.items())]


def _key(name: str, key: str, rules: Rules, now: float) -> Key:
    if fault := name_fault(name):
        raise CLIError(f"{name!r}: {fault}")
    try:
        LabelSelector.parse(rules.models)
    except SelectorError as error:
        raise CLIError(f"--models: {error}") from None
    return Key(
        name=name,
        digest=digest_of(key.encode("ascii")),
        models=rules.models,
        requests_per_minute=rules.requests_per_minute,
        tokens_per_minute=rules.tokens_per_minute,
        concurrency=rules.concurrency,
        expires_at=NEVER if rules.expires is None else expiry(rules.expires, now),
        priority=rules.priority,
        created_at=now,
    )


def expiry(text: str, now: float) -> float:
    """`30d`, `12h` or a date as Unix time. Raises `CLIError` for what is none, is past, or is in no calendar."""
    moment = _moment(text, now)
    if moment <= now:
        raise CLIError(f"--expires: {text} is past")
    if moment >= _END_OF_TIME:
        raise CLIError(f"--expires: {text} is too far away; without it the key never expires")
    return moment


def _moment(text: str, now: float) -> float:
    if days := _DAYS.fullmatch(text):
        return now + int(days[1]) * _DAY_S
    try:
        return now + parse_duration(text)
    except DurationError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        message = f"--expires: {text!r} is neither a time such as 30d or 12h nor a date such as 2027-01-31"
        raise CLIError(message) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


async def _read(client: Client, secret: str) -> JSONObject | None:
    try:
        return await client.get(SECRETS, secret)
    except APIError as error:
        if error.not_found:
            return None
        raise


async def _write(client: Client, secret: str, found: JSONObject | None, entry: dict[str, str]) -> None:
    """Raises a conflict if somebody was faster."""
    if found is None:
        await client.create(SECRETS, {"metadata": {"name": secret}, "type": "Opaque", "data": entry})
        return
    version = found["metadata"]["resourceVersion"]
    await client.patch(SECRETS, secret, {"metadata": {"resourceVersion": version}, "data": entry})


def _row(key: Key) -> JSONObject:
    return {
        "name": key.name,
        "models": key.models or "all",
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "concurrency": key.concurrency,
        "priority": key.priority,
        "expires": "never" if key.expires_at == NEVER else _date(key.expires_at),
        "created": _date(key.created_at),
    }


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
