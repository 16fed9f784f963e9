"""Which proxy leads to an API server: the one that its kubeconfig names, else that of the user's environment.

The rules are kubectl's (and Go's): HTTPS_PROXY and HTTP_PROXY by the server's scheme, not for hosts in NO_PROXY, and
never for this machine. From inside a cluster its API server is always reached directly.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from kubeai.kube.access import AccessError

SCHEMES = ("http", "https", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443}
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def checked_proxy(url: str, what: str) -> str:
    """Raises `AccessError`, in which `what` names the setting."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise AccessError(f"{what} {url!r} must begin with {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    if parts.scheme.startswith("socks") and find_spec("aiohttp_socks") is None:
        raise AccessError(f"{what} {url!r}: install what speaks SOCKS with `pip install 'kubeai[socks]'`")
    return url


def environment_proxy(server: str, environ: Mapping[str, str]) -> str | None:
    """The proxy of the environment for this server; None: it is reached directly."""
    parts = urlsplit(server)
    name = "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY"
    proxy = environ.get(name) or environ.get(name.lower())
    if not proxy or _direct(parts, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    return checked_proxy(proxy if "://" in proxy else f"http://{proxy}", name)


def _direct(server: SplitResult, exceptions: str) -> bool:
    host, port = (server.hostname or "").rstrip("."), server.port or _PORTS.get(server.scheme)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _matches(entry, host, port, address) for part in exceptions.split(",") if (entry := part.strip().lower())
    )


def _matches(entry: str, host: str, port: int | None, address: Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _within(address, entry)
    entry, entry_port = _port_of(entry)
    if entry_port is not None and entry_port != port:
        return False
    if address is not None:
        return _address(entry) == address
    suffix = entry.removeprefix("*")
    # A name stands for itself and all below it; with a dot at its beginning only for those.
    return host.endswith(suffix) if suffix.startswith(".") else host == suffix or host.endswith(f".{suffix}")


def _within(address: Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _port_of(entry: str) -> tuple[str, int | None]:
    """`host:port` taken apart; a bare IPv6 address has colons, too."""
    if _address(entry) is not None:
        return entry, None
    host, colon, port = entry.rpartition(":")
    return (host, int(port)) if colon and port.isdecimal() else (entry, None)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
