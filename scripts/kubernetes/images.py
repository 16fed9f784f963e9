"""Builds container images with buildah, without a registry: the project's own Dockerfiles on a base that is made here.

The base stands in for the official Python image that the Dockerfiles name: Debian with its own Python, from Debian's
mirror. It is made once; what is built on it comes out of buildah's cache where nothing has changed.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.kubernetes.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
BASE = f"localhost/python-base:{SUITE}"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
#: As in the official image, Python's home is /usr/local, its name is `python`, and pip may install into it.
LIKE_THE_OFFICIAL_ONE = """
set -e
chroot . python3 -m venv /usr/local
rm -rf var/cache/apt/archives/*.deb var/lib/apt/lists/* usr/share/doc usr/share/man usr/share/locale
"""
#: What a build needs to know of this machine's package index. Its find-links are places on this machine.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")


class Images:
    """Images in a store of their own, below the cache."""

    def __init__(self, cache: Path | None = None) -> None:
        default = os.environ.get("KUBEAI_IMAGE_CACHE") or Path.home() / ".cache" / "kubeai" / "images"
        self.cache = cache or Path(default)
        self.cache.mkdir(parents=True, exist_ok=True)

    def base(self) -> str:
        """The name of the base image, which is made if need be."""
        with self._locked():
            if not self._has(BASE):
                self._make_base()
        return BASE

    def build(
        self, tag: str, dockerfile: Path, context: Path = ROOT, arguments: Mapping[str, str] | None = None
    ) -> Path:
        """Build it on the base; an archive of the image. Raises `RuntimeError` with what the builder said."""
        given = {"BASE": self.base()} | dict(arguments or {})
        options = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        with self._locked(), tempfile.TemporaryDirectory() as settings:
            mounts = _pip_settings(Path(settings))
            self._build(tag, dockerfile, context, [*options, *mounts])
            return self._archive(tag)

    def pause(self, program: Path, tag: str) -> Path:
        """An image that is one program and nothing else."""
        return self._of_one_file(tag, program, "/", f'ENTRYPOINT ["/{program.name}"]\n')

    def holding(self, file: Path, directory: str, tag: str) -> Path:
        """An image that nobody runs: one file in this directory of it."""
        return self._of_one_file(tag, file, directory)

    def push(self, tag: str, registry: Registry) -> str:
        """Copy one that has been built to a registry; its name there."""
        name = f"{registry.address}/{tag.rpartition('/')[2]}"
        credentials = f"--creds={registry.user}:{registry.password}"
        self._buildah("push", "--quiet", credentials, f"--cert-dir={registry.certificates}", tag, f"docker://{name}")
        return name

    def _of_one_file(self, tag: str, file: Path, directory: str, more: str = "") -> Path:
        with self._locked(), tempfile.TemporaryDirectory() as temporary:
            dockerfile = Path(temporary) / "Dockerfile"
            dockerfile.write_text(f"FROM scratch\nCOPY {file.name} {directory}\n{more}")
            self._build(tag, dockerfile, file.parent, [])
            return self._archive(tag)

    def _make_base(self) -> None:
        with tempfile.TemporaryDirectory(dir=self.cache) as temporary:
            root = Path(temporary) / "root"
            _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), MIRROR)
            subprocess.run(["sh", "-c", LIKE_THE_OFFICIAL_ONE], cwd=root, check=True)
            dockerfile = Path(temporary) / "Dockerfile"
            dockerfile.write_text("FROM scratch\nCOPY root /\n")
            self._build(BASE, dockerfile, Path(temporary), [])

    def _build(self, tag: str, dockerfile: Path, context: Path, options: Sequence[str]) -> None:
        # chroot: a build is no more isolated than what it installs is trusted, and needs no network of its own.
        how = ["--layers", "--isolation=chroot", "--network=host", "--pull-never"]
        self._buildah("bud", *how, "--tag", tag, "--file", str(dockerfile), *options, str(context))

    def _archive(self, tag: str) -> Path:
        """One for each state of the image; those of earlier states go."""
        image = self._buildah("inspect", "--type=image", "--format={{.FromImageID}}", tag).strip()
        name = tag.partition(":")[0].replace("/", "-")
        path = self.cache / f"{name}-{image[:16]}.tar"
        if not path.exists():
            for old in self.cache.glob(f"{name}-{'[0-9a-f]' * 16}.tar"):
                old.unlink()
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            self._buildah("push", "--quiet", tag, f"docker-archive:{partial}:{tag}")
            partial.rename(path)
        return path

    def _has(self, tag: str) -> bool:
        return tag in self._buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()

    def _buildah(self, *arguments: str) -> str:
        where = ["--root", str(self.cache / "store"), "--runroot", str(self.cache / "run")]
        return _run("buildah", *where, "--storage-driver=overlay", *arguments)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two test runs at once must not build the same image twice."""
        with (self.cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _pip_settings(directory: Path) -> list[str]:
    """Options that make the build's pip use the index that this machine's pip uses."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found: dict[str, str] = {}
    for line in listing.stdout.splitlines():
        key, _, value = line.partition("=")
        found.setdefault(key.rpartition(".")[2], value.strip("'\""))
    lines = [f"{key} = {found[key]}" for key in PIP_SETTINGS if key in found]
    options = []
    if certificate := found.get("cert"):
        lines.append("cert = /etc/ssl/index.pem")
        options = ["--volume", f"{Path(certificate).resolve()}:/etc/ssl/index.pem:ro"]
    conf = directory / "pip.conf"
    conf.write_text("\n".join(["[global]", *lines, ""]))
    return [*options, "--volume", f"{conf}:/etc/pip.conf:ro"]


def _run(*command: str) -> str:
    done = subprocess.run([*command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout
