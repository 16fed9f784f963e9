"""A file in the making."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeai.loader.parts import Part, Range, on_disk, ranges

JOURNALS = {
    "nothing was noted": ("", set()),
    "two ranges were noted": ("v1\n0\n20\n", {0, 20}),
    "the last line was torn by a crash": ("v1\n0\n2", {0}),
    "the source has another version now": ("v0\n0\n20\n", set()),
    "the head was torn": ("v1", set()),
}


@pytest.mark.parametrize(("journal", "done"), JOURNALS.values(), ids=JOURNALS.keys())
def test_what_a_journal_counts_as_written(journal: str, done: set[int]) -> None:
    assert on_disk(journal, "v1") == done


def test_ranges_cover_the_file_once() -> None:
    assert ranges(25, 10) == (Range(0, 10), Range(10, 20), Range(20, 25))
    assert ranges(0) == ()


def test_a_part_goes_on_where_it_was(tmp_path: Path) -> None:
    size = (8 << 20) + 5
    first = Part(tmp_path / "f", size, "v1")
    descriptor = first.open()
    assert not first.completed(first.missing[0], descriptor)
    again = Part(tmp_path / "f", size, "v1")
    assert (again.missing, again.done_bytes) == ([Range(8 << 20, size)], 8 << 20)
    assert again.completed(again.missing[0], descriptor)
    again.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_torn_line_does_not_become_another_with_the_next(tmp_path: Path) -> None:
    size = 11 * (8 << 20)
    Part(tmp_path / "f", size, "v1")
    with (tmp_path / "f.journal").open("a") as journal:
        journal.write(f"{16 << 20}\n{8 << 20}")  # the end of the last line is missing
    again = Part(tmp_path / "f", size, "v1")
    again.completed(again.missing[0], again.open())
    assert Range(80 << 20, size) in Part(tmp_path / "f", size, "v1").missing


def test_another_version_begins_anew(tmp_path: Path) -> None:
    first = Part(tmp_path / "f", 5, "v1")
    first.completed(first.missing[0], first.open())
    assert Part(tmp_path / "f", 5, "v2").missing == [Range(0, 5)]
