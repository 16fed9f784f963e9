"""The Python package index that this machine is set up to use, and the wheels that it has.

Many companies mirror only package indexes, which is what makes them a source for models. So every setting that pip
or uv reads for the index, its credentials and its certificates counts here, too.
"""

from __future__ import annotations

import ast
import base64
import json
import netrc
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from .errors import LoadError

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of the index."""

    filename: str
    url: str
    sha256: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Base URLs of the simple API, the first is asked first; `ca_file` in addition to the system's certificates."""

    urls: tuple[str, ...]
    ca_file: str | None = None

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        return context


def find_settings(environ: Mapping[str, str] = os.environ) -> IndexSettings:
    """uv's variables if they name an index, else pip's variables and files, else the index that pip comes with."""
    first = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    if first:
        more = f"{environ.get('UV_INDEX', '')} {environ.get('UV_EXTRA_INDEX_URL', '')}"
        # uv lets an index have a name: NAME=URL
        return IndexSettings(tuple(re.sub(r"^[\w-]+=(?=https?:)", "", url) for url in [first, *more.split()]))
    pip = pip_settings()
    urls = [pip.get("index-url") or _pips_default(), *pip.get("extra-index-url", "").split()]
    if not urls[0]:
        raise LoadError("no Python package index is configured: set PIP_INDEX_URL to one that has the simple API")
    return IndexSettings(tuple(url for url in urls if url), pip.get("cert"))


def pip_settings() -> dict[str, str]:
    """pip's settings of all its files and variables, as pip itself merges them; empty where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings: dict[str, str] = {}
    # The order is that of precedence backwards: the environment comes first in the listing, files after it.
    for scope in (r"global\.", r"(?:download|install)\.", r":env:\."):
        for match in re.finditer(rf"^{scope}([\w-]+)=(.*)$", output, re.MULTILINE):
            settings[match[1]] = str(ast.literal_eval(match[2]))
    return settings


def _pips_default() -> str | None:
    try:
        from pip._internal.models.index import PyPI
    except ImportError:
        return None
    return str(PyPI.simple_url)


def find_wheel(package: str, version: str, settings: IndexSettings) -> Wheel:
    """The wheel of that version; one for any platform if there is one. Raises `LoadError`."""
    name = re.sub(r"[-_.]+", "-", package).lower()
    seen: list[str] = []
    for base in settings.urls:
        wheels = [w for w in _wheels(base, name, settings) if _is_of(w, name)]
        fitting = [w for w in wheels if _version(w) == _canonical(version)]
        if fitting:
            return min(fitting, key=lambda w: (not w.filename.endswith("-none-any.whl"), w.filename))
        seen += [_version(w) for w in wheels]
    if not seen:
        raise LoadError(f"{package}: the package index has no wheel of this package")
    known = ", ".join(list(dict.fromkeys(seen))[-5:])
    raise LoadError(f"{package}: the package index has no wheel of version {version}; the newest it has: {known}")


def _is_of(wheel: Wheel, name: str) -> bool:
    return re.sub(r"[-_.]+", "-", wheel.filename.split("-")[0]).lower() == name


def _version(wheel: Wheel) -> str:
    return _canonical(wheel.filename.split("-")[1])


def _canonical(version: str) -> str:
    return version.lower().removeprefix("v").replace("_", "-")


def _wheels(base: str, name: str, settings: IndexSettings) -> list[Wheel]:
    page, headers = _without_credentials(f"{base.rstrip('/')}/{name}/")
    request = urllib.request.Request(page, headers={"Accept": _ACCEPT, **headers})
    try:
        with urllib.request.urlopen(request, timeout=60, context=settings.context()) as answer:
            body, kind, page = answer.read(), answer.headers.get_content_type(), answer.url
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise LoadError(f"{name}: the package index {page} answered {error.code} {error.reason}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise LoadError(f"{name}: the package index {page} cannot be reached: {reason}") from error
    links = _json_links(body) if kind == _JSON else _html_links(body)
    return [
        Wheel(filename, urljoin(page, url), sha256, headers)
        for filename, url, sha256 in links
        if filename.endswith(".whl") and "/" not in filename and sha256
    ]


def _json_links(body: bytes) -> list[tuple[str, str, str]]:
    files = json.loads(body).get("files") or ()
    return [(f["filename"], f["url"], (f.get("hashes") or {}).get("sha256", "")) for f in files]


def _html_links(body: bytes) -> list[tuple[str, str, str]]:
    parser = _Anchors()
    parser.feed(body.decode(errors="replace"))
    links = []
    for href in parser.hrefs:
        url, fragment = urldefrag(href)
        kind, _, digest = fragment.partition("=")
        filename = unquote(urlsplit(url).path.rpartition("/")[2])
        links.append((filename, url, digest if kind == "sha256" else ""))
    return links


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs += [value for name, value in attrs if name == "href" and value]


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """urllib wants credentials in a header; messages must not show them."""
    parts = urlsplit(url)
    user, password = parts.username, parts.password
    host = parts.netloc.rpartition("@")[2]
    if user is None and (found := _netrc(parts.hostname or "")):
        user, password = found
    headers = {}
    if user is not None:
        token = base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    return urlunsplit(parts._replace(netloc=host)), headers


def _netrc(host: str) -> tuple[str, str] | None:
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2]) if found else None
