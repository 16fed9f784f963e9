"""A directory into a bucket or a repository: the way back, for whoever copies models to a store of their own.

What is there already with the right hash is left alone, so that an upload that broke off goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubeai.api.modelurl import ModelURL

from .errors import LoadError
from .hashing import sha256_of
from .progress import Progress
from .ranged import Counter
from .stores import SHA256_ATTRIBUTE, open_store, without_dangling
from .storewords import explain

#: Files at a time; each goes up in parts of its own, several at a time.
_FILES = 4
_PART_BYTES = 16 << 20


def upload_to_store(files: Mapping[str, Path], url: ModelURL, progress: Progress) -> None:
    """Raises `LoadError`."""
    store = open_store(url, without_dangling(os.environ))
    counter = Counter(url.source, sum(file.stat().st_size for file in files.values()), progress)
    prefix = url.path.strip("/")

    def put(name: str, file: Path) -> None:
        _put(store, f"{prefix}/{name}".lstrip("/"), file)
        counter.add(file.stat().st_size)

    try:
        with ThreadPoolExecutor(_FILES, "uploader") as pool:
            for _ in pool.map(put, files.keys(), files.values()):
                pass
    except Exception as error:  # obstore's own, and those of the file system
        raise LoadError(f"{url.raw}: {explain(error)}") from error


def _put(store: Any, key: str, file: Path) -> None:
    import obstore

    sha256 = sha256_of(file)
    if _has(store, key, file.stat().st_size, sha256):
        return
    obstore.put(store, key, file, attributes={SHA256_ATTRIBUTE: sha256}, chunk_size=_PART_BYTES, max_concurrency=4)


def _has(store: Any, key: str, size: int, sha256: str) -> bool:
    import obstore

    try:
        found = obstore.get(store, key, options={"head": True})
    except FileNotFoundError:
        return False
    return bool(found.meta["size"] == size and found.attributes.get(SHA256_ATTRIBUTE) == sha256)


def upload_to_hub(directory: Path, url: ModelURL) -> None:
    """Into a repository that is made if there is none. Raises `LoadError`."""
    from .hub import hub_library, words

    hub = hub_library(url)
    try:
        api = hub.HfApi()
        api.create_repo(url.ref, private=True, exist_ok=True)
        api.upload_folder(repo_id=url.ref, folder_path=directory, revision=url.params.get("revision"))
    except Exception as error:  # any of a dozen kinds, and those of its HTTP library
        raise LoadError(f"{url.raw}: {words(error)}") from error
