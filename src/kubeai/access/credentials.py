"""What a request shows of who sends it, read from its headers.

An API key is hashed here, where it comes in; nothing behind this has it. Headers in which a proxy names its user are
believed on connections from the proxy's own addresses only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import msgspec

from kubeai.config.system import TrustedProxy

from .key import digest_of

_Header = tuple[bytes, bytes]

_BEARER = b"bearer "
#: In which a key stands alone; OpenAI's own clients use Authorization.
_KEY_HEADERS = (b"x-api-key", b"api-key")
#: Neither a selector nor a number.
_NONSENSE = "("
#: What must not be heard of behind the gateway.
PRIVATE = frozenset({b"authorization", *_KEY_HEADERS})
LOOPBACK = ("127.0.0.0/8", "::1/128")


class Presented(msgspec.Struct, frozen=True):
    """Says nothing yet about whether it is worth anything."""

    #: SHA-256 of the API key; empty if there is none.
    digest: bytes = b""
    #: The user that a trusted proxy names, what he may use, and how urgent he is.
    user: str = ""
    selector: str = ""
    priority: str = ""


NOTHING = Presented()


class Credentials:
    """Reads the headers of requests that come from one kind of address."""

    def __init__(self, proxy: TrustedProxy | None, *, trusted: bool) -> None:
        self._proxy = proxy if trusted else None
        self._user, self._selector, self._priority = _names(proxy)
        #: Headers, in lower case, that no engine gets.
        self.private: frozenset[bytes] = PRIVATE | ({self._user, self._selector, self._priority} - {b""})

    def read(self, headers: Sequence[_Header]) -> Presented:
        """Names are in lower case."""
        key = _key(headers)
        digest = digest_of(key) if key else b""
        user = _text(headers, self._user) if self._proxy is not None else ""
        if user:
            return Presented(digest, user, _rule(headers, self._selector), _rule(headers, self._priority))
        return Presented(digest) if digest else NOTHING


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether a peer's address is in one of the networks."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(network) for network in networks)


def _names(proxy: TrustedProxy | None) -> tuple[bytes, bytes, bytes]:
    if proxy is None:
        return b"", b"", b""
    given = (proxy.user_header, proxy.selector_header or "", proxy.priority_header or "")
    user, selector, priority = (name.lower().encode("ascii") for name in given)
    return user, selector, priority


def _key(headers: Sequence[_Header]) -> bytes:
    found = b""
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == _BEARER:
            return value[7:].strip()
        if name in _KEY_HEADERS:
            found = value
    return found


def _rule(headers: Sequence[_Header], name: bytes) -> str:
    """What binds the user. Said twice, one of the two may be his own: then it must not open anything (see `Gate`)."""
    return _NONSENSE if sum(key == name for key, _ in headers) > 1 else _text(headers, name)


def _text(headers: Sequence[_Header], name: bytes) -> str:
    """The header's value; none if it comes twice, because then it is not the proxy's alone."""
    values = [value for key, value in headers if key == name] if name else []
    return values[0].decode("utf-8", "replace").strip() if len(values) == 1 else ""
