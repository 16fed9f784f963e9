"""`hf://ORG/NAME`: a repository of the Hugging Face hub, a part of it by patterns, or one file with `?model=FILE`.

`HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` mean what they mean to huggingface_hub, which does the work; large files
are brought by `hub_ranges` before. The hub's client checks sizes only, so the hash of a large file, which is its name
in the cache, is checked here.
"""

from __future__ import annotations

import glob
import io
import os
import re
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubeai.api.modelurl import ModelURL

from .errors import LoadError
from .files import files_below
from .hashing import sha256_of
from .hub_ranges import LARGE_BYTES, bring_large_files
from .hub_records import Records
from .progress import Progress
from .selection import Selection, select

#: huggingface_hub's exception (or one of its bases) -> what it means to who wrote the url
_WORDS = {
    "GatedRepoError": "the model is gated: accept its terms on the hub and give a token of your account in HF_TOKEN",
    "RepositoryNotFoundError": "there is no such model on the hub, or it is private: check the name, or give HF_TOKEN",
    "RevisionNotFoundError": "the model has no such revision",
    "LocalEntryNotFoundError": "the hub cannot be reached and the cache has no copy: check the network and HF_ENDPOINT",
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set and the cache has no copy",
    "EntryNotFoundError": "the model has no such file",
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASHERS = 4


def fetch_from_hub(url: ModelURL, cache: Path, progress: Progress) -> Mapping[str, Path]:
    hub, selection, begun = hub_library(url), select(url), time.time()
    options: dict[str, Any] = {
        "revision": url.params.get("revision"),
        "cache_dir": cache / "huggingface",
        "tqdm_class": _meter(url.ref, progress),
    }
    records = Records(cache / "huggingface" / ".complete" / url.ref.replace("/", "--"))
    told = bring_large_files(hub, url, selection, cache / "huggingface", progress)
    if told is not None:
        records.begin()
    try:
        files, commit = _download(hub, url, selection, options)
        if not selection.files:
            wanted = told or records.names(selection, commit) or _listed(hub, url, commit, cache / "huggingface")
            _check_whole(url, files, wanted if wanted or records.kept else files, selection)
    except LoadError:
        raise
    except Exception as error:  # any of a dozen kinds, and those of its HTTP library
        raise LoadError(f"{url.raw}: {words(error)}") from error
    _verify(url, files, begun)
    if told is not None and not selection.files:
        records.complete(selection, commit, files)
    return files


def hub_library(url: ModelURL) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise LoadError(f"{url.raw}: huggingface_hub is missing: run `pip install 'kubeai[loader]'`") from error
    return huggingface_hub


def _download(hub: Any, url: ModelURL, selection: Selection, options: Mapping[str, Any]) -> tuple[dict[str, Path], str]:
    """The files, and the commit that they are of."""
    if len(selection.files) == 1:  # no listing of the repository is needed
        return {name: Path(hub.hf_hub_download(url.ref, name, **options)) for name in selection.files}, ""
    allow = [glob.escape(name) for name in selection.files] or list(selection.allow) or None
    ignore = list(selection.ignore) if not selection.files else None
    root = Path(hub.snapshot_download(url.ref, allow_patterns=allow, ignore_patterns=ignore, **options))
    # The snapshot may hold more from an earlier load with other patterns.
    files = {name: file for name, file in files_below(root).items() if selection.has(name)}
    if missing := [name for name in selection.files if name not in files]:
        raise LoadError(f"{url.raw}: the model has no file {missing[0]}")
    if not files:
        raise LoadError(f"{url.raw}: no file of the model is selected by {selection.words or 'its url'}")
    return files, root.name


def _listed(hub: Any, url: ModelURL, commit: str, cache: Path) -> Collection[str]:
    """What the hub's client has noted itself, as servers that load by themselves let it do."""
    try:
        return [file.path for file in hub.get_cached_repo_tree(url.ref, revision=commit, cache_dir=cache)]
    except Exception:  # there is no list, or the client is one of the first that keep none
        return ()


def _check_whole(url: ModelURL, files: Collection[str], wanted: Collection[str], selection: Selection) -> None:
    """Raises `LoadError` for a snapshot of which only a part is there, or nobody knows whether it is all."""
    missing = [name for name in wanted if selection.has(name) and name not in files]
    if missing or not wanted:
        what = missing[0] if missing else "the list of its files"
        raise LoadError(
            f"{url.raw}: the hub cannot be reached and the cache has only a part of the model ({what} is missing): "
            "check the network and HF_ENDPOINT"
        )


def _verify(url: ModelURL, files: Mapping[str, Path], since: float) -> None:
    """Hash what is small, each time, and what has come now.

    Large files that were in the cache before were checked when they came. A small one may be left by a load that was
    killed before it could check anything.
    """
    blobs = [file.resolve() for file in files.values()]
    to_check = [blob for blob in blobs if _SHA256.fullmatch(blob.name) and _is_unchecked(blob.stat(), since)]
    with ThreadPoolExecutor(_HASHERS) as pool:
        for blob, actual in zip(to_check, pool.map(sha256_of, to_check), strict=True):
            if actual != blob.name:
                blob.unlink()
                raise LoadError(f"{url.raw}: a file arrived with SHA-256 {actual} and not {blob.name}; load again")


def _is_unchecked(stat: os.stat_result, since: float) -> bool:
    return stat.st_size < LARGE_BYTES or stat.st_mtime >= since


def words(error: BaseException) -> str:
    known = next((_WORDS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _WORDS), None)
    first_line = str(error).strip().partition("\n")[0]
    return known or first_line or type(error).__name__


def _meter(what: str, progress: Progress) -> type[Any]:
    """A progress bar for huggingface_hub that draws nothing and tells us the bytes."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Meter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # huggingface_hub's own switch for groups of bars
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            drawn: bool | None = super().update(n)
            if self.unit == "B":
                progress(what, int(self.n), int(self.total) if self.total else None)
            return drawn

    return Meter
