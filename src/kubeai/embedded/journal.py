"""The embedded cluster on disk: one row for each object, in SQLite.

A write is acknowledged only after its transaction is committed, and it is committed before anybody can see it. In WAL
mode with synchronous=NORMAL a commit ends in the page cache of the operating system: that survives the death of this
process at any point (SIGKILL included), which is what the cluster promises. Only a power failure could take the last
moments with it; paying a disk flush for each write (ten times the latency) would protect processes that die with the
machine anyway. A commit takes 20 to 50 microseconds, so it is made right in the event loop, one for each write.

What is not that quick, folding the write-ahead log back into the database file, waits for the disk; it is done in a
thread, over a connection of its own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kubeai.embedded.store import Change, Entry, Key

#: Of the layout below; a newer one is not opened.
_FORMAT = 1
_SCHEMA = """
CREATE TABLE object (
  resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 0), version INTEGER NOT NULL);
INSERT INTO counter VALUES (0, 1);
"""
_PUT = (
    "INSERT INTO object VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET version = excluded.version, data = excluded.data"
)
_DELETE = "DELETE FROM object WHERE resource = ? AND namespace = ? AND name = ?"
_COUNT = "UPDATE counter SET version = ?"
_CHECKPOINT_EVERY = 2_000
_FULL = ("full", "no space", "disk i/o error")
_BUSY = ("locked", "busy")


class JournalError(Exception):
    """The journal cannot be read or written. Nothing has been changed; the text says what to do."""


class Journal:
    """Keeps changes durable, and gives the objects back after a restart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writes_since_checkpoint = 0
        with self._explained("opened"):
            # Writes come from the loop's thread only; the other one that may close it does so after them.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0.5, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        with self._explained("opened"):
            self.path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint = 0")
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            if found == 0:
                self._db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_FORMAT};COMMIT")
            elif found != _FORMAT:
                raise JournalError(
                    f"{self.path} was written by another version of kubeai (format {found}, this one reads "
                    f"{_FORMAT}). Use that version, or another data directory."
                )

    def load(self) -> tuple[int, list[Entry]]:
        """The version counter and all objects."""
        with self._explained("read"):
            row = self._db.execute("SELECT version FROM counter").fetchone()
            rows = self._db.execute("SELECT resource, namespace, name, version, data FROM object").fetchall()
            if row is None:
                raise sqlite3.DatabaseError("the version counter is missing")
        decode = msgspec.json.Decoder().decode
        try:
            return row[0], [Entry(Key(r, ns, n), version, decode(data), data) for r, ns, n, version, data in rows]
        except msgspec.DecodeError as error:
            raise JournalError(self._damaged(str(error))) from error

    def write(self, change: Change) -> None:
        """Make one change durable."""
        entry = change.entry
        with self._explained("written"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if change.deleted:
                    self._db.execute(_DELETE, entry.key)
                else:
                    self._db.execute(_PUT, (*entry.key, entry.version, entry.data))
                self._db.execute(_COUNT, (entry.version,))
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself.
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        self._writes_since_checkpoint += 1

    @property
    def wants_checkpoint(self) -> bool:
        return self._writes_since_checkpoint >= _CHECKPOINT_EVERY

    def begin_checkpoint(self) -> None:
        """To be called in the thread of the writes, before `checkpoint`."""
        self._writes_since_checkpoint = 0

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the database. May be called in another thread, beside writes."""
        with self._explained("compacted"), contextlib.closing(sqlite3.connect(self.path, timeout=0.5)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._db.close()

    # errors

    @contextlib.contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn SQLite's errors into ones that say what to do."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(self._explain(error, action)) from error

    def _explain(self, error: sqlite3.Error | OSError, action: str) -> str:
        text = str(error).lower()
        if any(word in text for word in _FULL):
            return (
                f"the cluster's state cannot be {action}: the disk of {self.path} is full, or fails ({error}). "
                "Nothing was changed. Free some space: writes work again as soon as there is room."
            )
        if any(word in text for word in _BUSY):
            return f"{self.path} is in use by another process. Stop that one, or use another data directory."
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return self._damaged(str(error))
        return f"{self.path} cannot be {action}: {error}. Check that the directory exists and can be written."

    def _damaged(self, why: str) -> str:
        return (
            f"{self.path} is damaged ({why}). It was left as it is. Put a copy of it back, or start with an empty "
            f"cluster by moving it aside: mv {self.path} {self.path}.damaged"
        )
