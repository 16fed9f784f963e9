"""A download that goes on where it stopped and is believed only when its hash is right."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from ssl import SSLContext

from .errors import LoadError
from .hashing import sha256_of
from .progress import Progress

_CHUNK = 1 << 20
_ATTEMPTS = 5
_TIMEOUT_S = 60


def download(
    url: str, target: Path, sha256: str, progress: Progress, headers: Mapping[str, str], context: SSLContext
) -> None:
    """Write `url` to `target`. What an earlier try left in `target.part` is not loaded again. Raises `LoadError`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    name = target.name
    for attempt in range(_ATTEMPTS):
        try:
            _continue(url, part, name, progress, headers, context)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # all of it is there already
                break
            raise LoadError(f"{name}: the package index answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == _ATTEMPTS - 1:
                raise LoadError(f"{name}: the download broke off ({_words(error)}); load again to go on") from error
    actual = sha256_of(part)
    if actual != sha256:
        part.unlink()
        raise LoadError(f"{name}: the download's SHA-256 is {actual}, but the index promises {sha256}; load again")
    part.replace(target)


def _continue(
    url: str, part: Path, name: str, progress: Progress, headers: Mapping[str, str], context: SSLContext
) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers=dict(headers) | ({"Range": f"bytes={done}-"} if done else {}))
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:
        if answer.status != 206:  # a server that knows no ranges sends everything
            done = 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if done else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(name, done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _words(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(reason) or type(error).__name__
