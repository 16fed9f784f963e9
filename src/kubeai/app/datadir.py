"""The data directory of `kubeai up`: where things lie, and that only one instance uses it.

Two instances over one journal would each believe to own every process, so the directory is locked for as long as the
instance lives. The lock belongs to the process: it is gone with it, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import StartError


@dataclass(frozen=True, slots=True)
class DataDir:
    """The paths inside one data directory."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @property
    def endpoint(self) -> Path:
        """Holds the base URL of the running gateway, for the command line."""
        return self.root / "endpoint"

    @property
    def api_port(self) -> Path:
        """The port that the API server had last: kept, so that kubeconfigs stay valid over a restart."""
        return self.root / "api-port"

    @property
    def cache(self) -> Path:
        """Downloaded weights, shared by all Models."""
        return self.root / "cache"

    @property
    def volumes(self) -> Path:
        """A directory for each volume claim."""
        return self.root / "volumes"

    @property
    def lock(self) -> Path:
        return self.root / "lock"


def open_data_dir(root: Path) -> tuple[DataDir, IO[str]]:
    """Create the directory if need be and lock it. The lock lasts until the returned file is closed.

    Raises `StartError` when another instance owns the directory or it cannot be written.
    """
    directory = DataDir(root)
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.cache.mkdir(exist_ok=True)
        file = directory.lock.open("a+", encoding="ascii")
    except OSError as error:
        raise StartError(
            f"the data directory {root} cannot be used: {error.strerror}; choose another with --data-dir"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StartError(
            f"the data directory {root} is in use by another instance (process {owner}); "
            "stop it, or choose another directory with --data-dir"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return directory, file


def api_token(directory: DataDir) -> str:
    """The API server's token: made once, so that copies of the kubeconfig stay valid."""
    if directory.token.exists() and (token := directory.token.read_text(encoding="ascii").strip()):
        return token
    token = secrets.token_urlsafe(32)
    # Written whole or not at all: an empty token would open the API server to every program on the machine.
    draft = directory.token.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(token, encoding="ascii")
    draft.replace(directory.token)
    return token
