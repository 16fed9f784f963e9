"""Large files of the hub, in ranges that a killed process can go on with.

huggingface_hub begins a file anew when its process died: it writes each try to a file of another name. So the large
ones are brought into its cache beforehand, under the names that it looks for (their SHA-256), and it finds them done.
Whatever goes wrong here is left to it: it has the better words, and other ways to load.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from kubeai.api.modelurl import ModelURL

from .errors import LoadError
from .lock import locked
from .parts import Range
from .progress import Progress
from .ranged import Download, download_all
from .selection import Selection

#: Below, beginning anew costs less than asking for pieces.
LARGE_BYTES = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = 1 << 20
_TIMEOUT_S = 60


def bring_large_files(
    hub: Any, url: ModelURL, selection: Selection, cache: Path, progress: Progress
) -> Sequence[str] | None:
    """Fill the hub's cache with what is large and selected. Says nothing when it cannot.

    Returns the names of all that is selected; None where the hub does not tell.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import repo_folder_name

    if constants.HF_HUB_OFFLINE:
        return None
    # The hub's error is derived from those of its HTTP library, and from OSError.
    expected: tuple[type[Exception], ...] = (LoadError, ValueError, *cast("Any", HfHubHTTPError.__bases__))
    folder = repo_folder_name(repo_id=url.ref, repo_type="model")
    blobs, locks = cache / folder / "blobs", cache / ".locks" / folder
    source = _HubFiles(hub, url)
    # What is expected the hub's own client will meet, too, and tell it.
    with contextlib.suppress(*expected):
        found = {download.version: download for download in source.large(selection, blobs)}
        # Not by the names of huggingface_hub's own locks, which may remove the file that is locked.
        with locked(locks / f"{version}.ranges.lock" for version in _missing(found)):
            if missing := _missing(found):  # another loader may have brought them meanwhile
                download_all(source, url.raw, url.ref, list(missing.values()), progress)
    return source.names


def _missing(downloads: Mapping[str, Download]) -> dict[str, Download]:
    return {version: download for version, download in downloads.items() if not download.target.exists()}


class _HubFiles:
    """The files of one repository at one commit."""

    def __init__(self, hub: Any, url: ModelURL) -> None:
        self._hub = hub
        self._ref = url.ref
        self._revision = url.params.get("revision")
        #: File -> where its bytes are: a signed address elsewhere, which is good for a while.
        self._locations: dict[str, str] = {}
        self._lock = threading.Lock()
        #: Of the selected files, large and small; None until the hub has told.
        self.names: Sequence[str] | None = None

    def large(self, selection: Selection, blobs: Path) -> Iterator[Download]:
        for name, size, sha256 in self._named(selection) if selection.files else self._listed(selection):
            if size >= LARGE_BYTES and _SHA256.fullmatch(sha256):
                yield Download(name, blobs / sha256, size, None, sha256)

    def _named(self, selection: Selection) -> Iterator[tuple[str, int, str]]:
        for name in selection.files:
            found = self._look(name)
            self.names = selection.files
            yield name, found.size or 0, found.etag or ""

    def _listed(self, selection: Selection) -> Iterator[tuple[str, int, str]]:
        info = self._hub.HfApi().model_info(self._ref, revision=self._revision, files_metadata=True)
        self._revision = info.sha
        self.names = [file.rfilename for file in info.siblings or () if selection.has(file.rfilename)]
        for file in info.siblings or ():
            if file.lfs and selection.has(file.rfilename):
                yield file.rfilename, file.size or 0, file.lfs.sha256

    def read(self, download: Download, wanted: Range) -> Iterator[bytes]:
        from huggingface_hub import constants
        from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

        location = self._location(download.key)
        headers = {"Range": f"bytes={wanted.start}-{wanted.end - 1}", "Accept-Encoding": "identity"}
        if urlsplit(location).netloc == urlsplit(constants.ENDPOINT).netloc:
            headers |= build_hf_headers()  # nobody else's host gets the token
        with get_session().stream("GET", location, headers=headers, timeout=_TIMEOUT_S) as answer:
            if answer.status_code != 206:
                self._locations.pop(download.key, None)  # perhaps it has run out
                raise ConnectionError(f"{download.key}: {answer.status_code} in place of a part")
            yield from answer.iter_raw(_PIECE)

    def _location(self, name: str) -> str:
        with self._lock:
            if name not in self._locations:
                self._locations[name] = self._look(name).location
            return self._locations[name]

    def _look(self, name: str) -> Any:
        address = self._hub.hf_hub_url(self._ref, name, revision=self._revision)
        return self._hub.get_hf_file_metadata(address)

    def sha256(self, download: Download) -> str | None:
        return download.version

    def is_final(self, error: Exception) -> bool:
        return False

    def explain(self, error: Exception) -> str:
        return str(error)
