"""One model from its source into a directory, or through a directory into another store.

With a cache the bytes are kept there once and linked into the directory; a second load of the same source needs no
network. Without one (a container on a cluster) they go into the directory itself. Either way a load that was killed
goes on with the bytes that it had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from kubeai.api.modelurl import ModelURL, ModelURLError, parse_model_url

from .errors import LoadError
from .files import files_below
from .progress import Progress
from .selection import select

#: Brings a source's files into the cache directory and returns them: path inside the destination -> file.
Fetcher = Callable[[ModelURL, Path, Progress], Mapping[str, Path]]

_PRIVATE_CACHE = ".kubeai-loader"
_STORES = ("s3", "gs", "oss")


def load(src: str, dest: str, progress: Progress, cache_dir: Path | None = None) -> None:
    """Load `src` into `dest`: a directory, or a url of an object store or the hub. Raises `LoadError`."""
    if "://" not in dest:
        fetch(src, Path(dest), progress, cache_dir)
        return
    target = _parse(dest)
    if target.scheme not in (*_STORES, "hf"):
        raise LoadError(f"{dest}: only hf://, s3://, gs:// and oss:// can be written to")
    try:
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix="kubeai-load-", dir=cache_dir)
    except OSError as error:
        raise LoadError(f"{src}: {error.filename or cache_dir}: {error.strerror or error}") from error
    with temporary as directory:
        fetch(src, Path(directory), progress, cache_dir)
        _upload(Path(directory), target, progress)


def _upload(directory: Path, target: ModelURL, progress: Progress) -> None:
    from .upload import upload_to_hub, upload_to_store

    if target.scheme == "hf":
        upload_to_hub(directory, target)
    else:
        upload_to_store(files_below(directory), target, progress)


def with_patterns(src: str, allow: Sequence[str], ignore: Sequence[str]) -> str:
    """The url with further patterns among its parameters."""
    extra = {name: ",".join(patterns) for name, patterns in (("allow", allow), ("ignore", ignore)) if patterns}
    return src + ("&" if "?" in src else "?") + urlencode(extra, safe="*,/") if extra else src


def fetch(src: str, dest: Path, progress: Progress, cache_dir: Path | None = None) -> None:
    """Load `src` into the directory `dest`. Raises `LoadError`.

    A source that is one file becomes `dest/NAME`, a directory's contents become `dest`'s.
    """
    url = _parse(src)
    cache = cache_dir or dest / _PRIVATE_CACHE
    try:
        dest.mkdir(parents=True, exist_ok=True)
        files = _fetcher(url)(url, cache, progress)
        for name, file in files.items():
            _place(file, dest / name)
    except OSError as error:
        raise LoadError(f"{src}: {error.filename or dest}: {error.strerror or error}") from error
    if cache_dir is None:
        shutil.rmtree(cache, ignore_errors=True)
    else:
        _bound(cache_dir, src, files)


def _bound(cache: Path, src: str, files: Mapping[str, Path]) -> None:
    """Let the cache forget what was not used for long, where it is told a limit."""
    from .limit import note_use, parse_limit, trim

    limit = os.environ.get("KUBEAI_CACHE_LIMIT")
    limit_bytes = parse_limit(limit) if limit else None
    # The files are where they belong: a full disk, or another loader that makes room too, does not change that.
    with contextlib.suppress(OSError):
        note_use(cache, src, files.values())
        if limit_bytes is not None:
            trim(cache, limit_bytes, keep=src)


def _parse(url: str) -> ModelURL:
    try:
        return parse_model_url(url)
    except ModelURLError as error:
        raise LoadError(str(error)) from error


def _fetcher(url: ModelURL) -> Fetcher:
    """Imported late: a cached model must not pay for a library that it does not need."""
    match url.scheme:
        case "pypi":
            from .pypi import fetch_from_index

            return fetch_from_index
        case "hf":
            from .hub import fetch_from_hub

            return fetch_from_hub
        case "s3" | "gs" | "oss":
            from .objects import fetch_from_store

            return fetch_from_store
        case "file":
            return _local_files
        case _:
            raise LoadError(f"{url.raw}: this loader reads hf://, s3://, gs://, oss://, pypi:// and file:// sources")


def _local_files(url: ModelURL, _cache: Path, _progress: Progress) -> Mapping[str, Path]:
    root = Path(url.path)
    if not root.exists():
        raise LoadError(f"{url.raw}: there is nothing at {root} on this machine")
    if root.is_file():
        return {root.name: root}
    selection = select(url)
    files = {name: file for name, file in files_below(root).items() if selection.has(name)}
    if missing := [name for name in selection.files if name not in files]:
        raise LoadError(f"{url.raw}: there is no file {missing[0]} below {root}")
    return files


def _place(file: Path, target: Path) -> None:
    """A second name for the same bytes where the file system allows, else a copy. Replaces what is there at once."""
    real = file.resolve()
    if target.exists() and target.samefile(real):
        return  # loaded before; renaming one name of a file to another would leave both
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(real, temporary)
    except OSError:
        shutil.copyfile(real, temporary)
    temporary.replace(target)
