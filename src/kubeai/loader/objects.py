"""`s3://`, `gs://`, `oss://`: the objects below a prefix of a bucket, or one object.

Every object is read in ranges, many at a time, so that one large file is as fast as many small ones. A range is only
taken from the version that was listed (`If-Match`), so that a file is never sewn together from two versions.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeai.api.modelurl import ModelURL

from .errors import LoadError
from .lock import locked
from .parts import Range
from .progress import Progress
from .ranged import Download, download_all
from .selection import Selection, select
from .stores import SHA256_ATTRIBUTE, open_store, store_settings, without_dangling
from .storewords import explain, is_outage, refusal

if TYPE_CHECKING:
    from obstore import GetOptions

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """One object as it was listed."""

    key: str
    size: int
    etag: str | None

    @property
    def version(self) -> str:
        return f"{self.etag} {self.size}"


def fetch_from_store(url: ModelURL, cache: Path, progress: Progress) -> Mapping[str, Path]:
    environ = without_dangling(os.environ)
    endpoint = store_settings(url, environ).endpoint or ""
    store = open_store(url, environ)
    home = cache / "objects" / url.scheme / url.name
    listing = home / f".{_fingerprint(endpoint, url.raw)}.json"
    try:
        remotes = find(store, url)
    except LoadError:
        raise
    except Exception as error:  # obstore's own, and those of the file system
        if is_outage(error) and (known := _complete(listing)):
            return known
        raise LoadError(f"{url.raw}: {explain(error)}") from error
    downloads = {
        name: Download(remote.key, _place(home, remote, endpoint), remote.size, remote.etag, remote.version)
        for name, remote in remotes.items()
    }
    missing = [download for download in downloads.values() if not download.target.exists()]
    # By object: a slow download of one model delays no other of the same bucket.
    with locked(home / ".locks" / _fingerprint(download.key) for download in missing):
        download_all(StoreSource(store), url.raw, url.source, list(downloads.values()), progress)
        for download in missing:
            _drop_older(download.target)
    files = {name: download.target for name, download in downloads.items()}
    listing.write_text(json.dumps({name: str(file) for name, file in files.items()}), "utf-8")
    return files


@dataclass(frozen=True, slots=True)
class StoreSource:
    """The objects of a bucket, in ranges."""

    store: Any

    def read(self, download: Download, wanted: Range) -> Iterable[bytes]:
        import obstore

        options: GetOptions = {"range": (wanted.start, wanted.end)}
        if download.etag:
            options["if_match"] = download.etag
        for piece in obstore.get(self.store, download.key, options=options).stream(min_chunk_size=_PIECE):
            yield memoryview(piece)  # type: ignore[misc]

    def sha256(self, download: Download) -> str | None:
        """Where our own uploads, and other tools, keep it: among the object's metadata."""
        import obstore

        if not download.size:
            return None
        return obstore.get(self.store, download.key, options={"range": (0, 1)}).attributes.get(SHA256_ATTRIBUTE)

    def is_final(self, error: Exception) -> bool:
        return refusal(error) is not None

    def explain(self, error: Exception) -> str:
        return explain(error)


def find(store: Any, url: ModelURL) -> dict[str, Remote]:
    """File name -> object. Raises `LoadError` when there is nothing."""
    import obstore

    prefix = url.path.strip("/")
    metas = [meta for page in obstore.list(store, prefix or None) for meta in page]
    found = {meta["path"][len(prefix) :].lstrip("/"): _remote(meta) for meta in metas}
    if not found and prefix:
        meta = obstore.head(store, prefix)  # not a directory: an object of this very name
        return {prefix.rpartition("/")[2]: _remote(meta)}
    return _selected(url, found, select(url))


def _remote(meta: Mapping[str, Any]) -> Remote:
    return Remote(meta["path"], meta["size"], meta["e_tag"])


def _selected(url: ModelURL, found: Mapping[str, Remote], selection: Selection) -> dict[str, Remote]:
    parents = _parents(found)
    # Consoles make an empty object for each folder, also for the one that is loaded, which has no name in itself.
    files = {name: remote for name, remote in found.items() if name and not (remote.size == 0 and name in parents)}
    wanted = {name: remote for name, remote in files.items() if selection.has(name)}
    if missing := [name for name in selection.files if name not in wanted]:
        raise LoadError(f"{url.raw}: there is no object {missing[0]!r} below {url.source}")
    if not files:
        raise LoadError(f"{url.raw}: there are no objects below {url.source}")
    if not wanted:
        raise LoadError(f"{url.raw}: none of the {len(files)} objects is selected by {selection.words}")
    if strays := [name for name in wanted if ".." in name.split("/")]:
        raise LoadError(f"{url.raw}: the object {strays[0]!r} would leave the destination")
    return wanted


def _parents(names: Iterable[str]) -> set[str]:
    return {name[:index] for name in names for index, letter in enumerate(name) if letter == "/"}


def _place(home: Path, remote: Remote, endpoint: str) -> Path:
    """A directory for each object and a name for each version: another version never gets in the way."""
    return home / remote.key / _fingerprint(endpoint, remote.version)


def _fingerprint(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _drop_older(file: Path) -> None:
    for other in file.parent.iterdir():
        if other != file and other.is_file():
            other.unlink(missing_ok=True)


def _complete(listing: Path) -> dict[str, Path] | None:
    """What was complete the last time; a store that is down must not keep a model from starting."""
    try:
        files = {name: Path(file) for name, file in json.loads(listing.read_text("utf-8")).items()}
    except (OSError, ValueError):
        return None
    return files if files and all(file.exists() for file in files.values()) else None
