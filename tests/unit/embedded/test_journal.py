from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeai.embedded.journal import Journal, JournalError
from kubeai.embedded.store import Change, Entry, Store

from .clusters import key, thing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cluster.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def _store(journal: Journal) -> Store:
    store = Store(journal.write)
    store.restore(*journal.load())
    return store


def test_a_new_journal_is_empty_and_private(journal: Journal, path: Path) -> None:
    assert journal.load() == (1, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@settings(max_examples=20, deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_what_was_stored_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, bool]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "cluster.db"
    journal = Journal(path)
    store = _store(journal)
    for name, present in changes:
        if present:
            store.put(key(name), thing(name))
        elif store.get(key(name)):
            store.remove(key(name))
    journal.close()
    again = Journal(path)
    restored = _store(again)
    again.close()
    assert restored.version == store.version
    assert {e.key: e.obj for e in restored} == {e.key: e.obj for e in store}


def test_a_crash_leaves_everything_that_was_acknowledged(journal: Journal, path: Path, tmp_path: Path) -> None:
    store = _store(journal)
    store.put(key("a"), thing("a"))
    for suffix in ("", "-wal"):  # what a killed process leaves behind
        (tmp_path / f"copy.db{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    copy = Journal(tmp_path / "copy.db")
    assert [entry.key.name for entry in _store(copy)] == ["a"]
    copy.close()


def test_compacting_keeps_everything_and_empties_the_log(journal: Journal, path: Path) -> None:
    store = _store(journal)
    for number in range(2000):
        store.put(key(f"c{number % 10}"), thing(f"c{number % 10}", text="x" * 500))
    wanted = [journal.wants_checkpoint]
    journal.begin_checkpoint()
    journal.checkpoint()
    assert [*wanted, journal.wants_checkpoint] == [True, False]
    store.put(key("late"), thing("late"))
    size = Path(f"{path}-wal").stat().st_size
    for _ in range(50):
        store.put(key("late"), thing("late"))
    assert Path(f"{path}-wal").stat().st_size == size  # the log is written over from its beginning
    assert len(journal.load()[1]) == 11


def _damage(path: Path) -> None:
    Journal(path).close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 5000)


def _no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)


def _no_json(path: Path) -> None:
    journal = Journal(path)
    entry = Entry(key(), 2, thing(), b"{half")
    journal.write(Change(entry))
    journal.close()


def _load(path: Path) -> None:
    journal = Journal(path)
    try:
        journal.load()
    finally:
        journal.close()


@pytest.mark.parametrize("spoil", [_damage, _no_database, _no_json])
def test_a_damaged_journal_is_left_as_it_is(path: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is damaged") as error:
        _load(path)
    assert f"mv {path} {path}.damaged" in str(error.value)
    assert path.read_bytes() == before


def test_a_journal_of_another_version_is_not_touched(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="another version of kubeai"):
        Journal(path)


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="Check that the directory exists"):
        Journal(tmp_path / "none" / "cluster.db")


def test_a_journal_that_somebody_else_writes_is_said(journal: Journal, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="in use by another process"):
        _store(journal).put(key(), thing())
    other.close()


def test_a_full_disk_refuses_the_write_and_keeps_the_rest(journal: Journal, path: Path) -> None:
    store = _store(journal)
    store.put(key("small"), thing("small"))
    _limit(journal, pages=1)
    with pytest.raises(JournalError, match="full") as error:
        store.put(key("big"), thing("big", text="x" * 100_000))
    assert str(path) in str(error.value)
    assert [entry.key.name for entry in store] == ["small"]
    _limit(journal, pages=100_000)
    assert store.put(key("big"), thing("big", text="x" * 100_000)).version == 3


def _limit(journal: Journal, pages: int) -> None:
    """As if the disk had room for no more than this (SQLite never goes below what there is)."""
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
