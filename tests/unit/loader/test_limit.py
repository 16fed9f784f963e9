"""A bound on the cache: the least recently used goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubeai.loader.errors import LoadError
from kubeai.loader.fetch import fetch
from kubeai.loader.limit import Use, note_use, parse_limit, to_evict, trim
from tests.unit.loader.servers import Bucket, serve

A, B, C, SHARED = (Path(name) for name in "abcs")
SIZES = {A: 10, B: 10, C: 10, SHARED: 5}


def use(source: str, used: float, *files: Path) -> Use:
    return Use(source, used, frozenset(files), frozenset(files))


def revision(source: str, used: float, *files: Path) -> Use:
    """As in the hub's cache: names of its own, files that others may have, too."""
    return Use(source, used, frozenset(Path(source) / file for file in files), frozenset(files))


CASES = {
    "all fit": ([use("a", 1, A), use("b", 2, B)], 20, []),
    "the oldest goes": ([use("b", 2, B), use("a", 1, A), use("c", 3, C)], 25, ["a"]),
    "as many as it takes": ([use("a", 1, A), use("b", 2, B), use("c", 3, C)], 10, ["a", "b"]),
    "what is loaded now stays, however old and large": ([use("c", 0, C), use("b", 2, B)], 1, ["b"]),
    "what shares a name with something newer is as new": (
        [use("a", 1, A, SHARED), use("b", 2, B), use("c", 3, C, SHARED)],
        30,
        ["b"],
    ),
    "a shared file counts once": ([use("a", 1, A, SHARED), use("c", 3, C, SHARED)], 25, []),
    "those that share a name go together": (
        [use("a", 1, A, SHARED), use("b", 2, B, SHARED), use("c", 3, C)],
        20,
        ["a", "b"],
    ),
    "of revisions that share a file the old one goes, and the file counts": (
        [revision("r1", 1, A, SHARED), revision("c", 2, C, SHARED)],
        16,
        ["r1"],
    ),
    "a file of two revisions counts once": ([revision("r1", 1, SHARED), revision("c", 2, SHARED)], 5, []),
    "what a source was before may go": ([revision("c", 1, A), revision("c", 2, C)], 10, ["c"]),
    "nothing is there": ([], 0, []),
}


@pytest.mark.parametrize(("uses", "limit", "gone"), CASES.values(), ids=CASES.keys())
def test_what_goes(uses: list[Use], limit: int, gone: list[str]) -> None:
    assert [found.source for found in to_evict(uses, SIZES, limit, keep="c")] == gone


def test_a_limit_is_a_quantity() -> None:
    assert parse_limit("1Ki") == 1024
    with pytest.raises(LoadError, match="limit of the cache, 'much'"):
        parse_limit("much")


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    outside = tmp_path / "mine"
    outside.write_bytes(b"x" * 100)
    note_use(tmp_path / "cache", "file:///mine", [outside])
    assert trim(tmp_path / "cache", 0, keep="") == []
    assert outside.exists()


def test_a_load_does_not_fail_because_its_use_cannot_be_noted(tmp_path: Path) -> None:
    with serve(Bucket({"m/f": b"f"}).answer) as base, pytest.MonkeyPatch.context() as environ:
        environ.setenv("STORAGE_EMULATOR_HOST", base)
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / ".uses").touch()
        fetch("gs://weights/m", tmp_path / "dest", lambda *_: None, tmp_path / "cache")
    assert (tmp_path / "dest" / "f").read_bytes() == b"f"


def test_a_load_makes_room_for_itself_and_running_servers_keep_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket({f"{name}/f": name.encode() * 1000 for name in "ab"})
    monkeypatch.setenv("KUBEAI_CACHE_LIMIT", "1500")
    with serve(bucket.answer) as base:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", base)
        for name in "ab":
            fetch(f"gs://weights/{name}", tmp_path / name, lambda *_: None, tmp_path / "cache")
            grow_old(tmp_path / "cache")
    assert (tmp_path / "a" / "f").read_bytes() == b"a" * 1000
    objects = tmp_path / "cache" / "objects" / "gs" / "weights"
    assert [path.relative_to(objects).parts[0] for path in objects.rglob("*") if path.stat().st_size == 1000] == ["b"]


def hub_load(cache: Path, url: str, commit: str, blobs: dict[str, bytes]) -> list[Path]:
    """As huggingface_hub leaves a snapshot: names that lead to the bytes."""
    home = cache / "huggingface" / "models--org--tiny"
    names = []
    for name, content in blobs.items():
        blob, link = home / "blobs" / content[:1].decode(), home / "snapshots" / commit / name
        for path in (blob, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.unlink(missing_ok=True)
        link.symlink_to(blob)
        names.append(link)
    note_use(cache, url, names)
    return names


def grow_old(cache: Path) -> None:
    for note in (cache / ".uses").iterdir():
        os.utime(note, (1, 1))


def test_two_revisions_of_the_hub_count_a_common_file_once_and_the_newer_keeps_it(tmp_path: Path) -> None:
    shared = {"model": b"w" * 1000}
    first = hub_load(tmp_path, "hf://org/tiny?revision=r1", "1", shared | {"old": b"o" * 100})
    grow_old(tmp_path)
    second = hub_load(tmp_path, "hf://org/tiny?revision=r2", "2", shared | {"new": b"n" * 100})
    assert trim(tmp_path, 1500, keep="hf://org/tiny?revision=r2") == []
    assert trim(tmp_path, 1150, keep="hf://org/tiny?revision=r2") == ["hf://org/tiny?revision=r1"]
    assert [path.exists() for path in (*first, *second)] == [False, False, True, True]
    assert sorted(path.name for path in (tmp_path / "huggingface/models--org--tiny/blobs").iterdir()) == ["n", "w"]


def test_what_a_branch_was_before_it_moved_goes_first(tmp_path: Path) -> None:
    old = hub_load(tmp_path, "hf://org/tiny", "1", {"model": b"o" * 1000})
    grow_old(tmp_path)
    new = hub_load(tmp_path, "hf://org/tiny", "2", {"model": b"n" * 1000})
    assert trim(tmp_path, 1500, keep="hf://org/tiny") == ["hf://org/tiny"]
    assert [path.exists() for path in (*old, *new)] == [False, True]
    assert not (tmp_path / "huggingface/models--org--tiny/blobs/o").exists()
