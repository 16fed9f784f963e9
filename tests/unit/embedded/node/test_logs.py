"""Logs: read whole, from the end, while they grow, over restarts, and bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kubeai.embedded.node.logs import (
    PodLogs,
    container_dir,
    forget_old_runs,
    last_words,
    log_path,
    rotate,
    runs,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = container_dir(tmp_path, "u", "server")
    made.mkdir(parents=True)
    return made


def write(directory: Path, text: str, run: int = 0) -> Path:
    path = log_path(directory, run)
    with path.open("a") as log:
        log.write(text)
    return path


async def read(tmp_path: Path, **options: Any) -> str:
    chunks = PodLogs(tmp_path).open("default", "p", "u", "server", **options)
    return b"".join([chunk async for chunk in chunks]).decode()


async def test_a_log_is_read_whole(directory: Path, tmp_path: Path) -> None:
    write(directory, "one\ntwo\n")
    assert await read(tmp_path) == "one\ntwo\n"


async def test_the_last_lines_can_be_asked_for(directory: Path, tmp_path: Path) -> None:
    write(directory, "one\ntwo\nthree\n")
    assert await read(tmp_path, tail_lines=2) == "two\nthree\n"
    assert await read(tmp_path, tail_lines=0) == ""


async def test_the_previous_run_is_kept(directory: Path, tmp_path: Path) -> None:
    write(directory, "first\n", run=3)
    write(directory, "second\n", run=4)
    assert await read(tmp_path) == "second\n"
    assert await read(tmp_path, previous=True) == "first\n"


async def test_a_container_that_has_not_run_has_no_log(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='container "server" in pod "p" has no log'):
        await read(tmp_path)
    write(directory, "x")
    with pytest.raises(FileNotFoundError, match="previous terminated container"):
        await read(tmp_path, previous=True)


async def test_a_followed_log_is_told_as_it_grows_and_ends_with_its_run(directory: Path, tmp_path: Path) -> None:
    (directory / "process.json").write_text("{}")
    write(directory, "one\n")
    follow = PodLogs(tmp_path).open("default", "p", "u", "server", follow=True)
    assert await anext(follow) == b"one\n"
    growing = asyncio.ensure_future(anext(follow))
    await asyncio.sleep(0)
    write(directory, "two\n")
    assert await growing == b"two\n"
    (directory / "process.json").unlink()
    assert [chunk async for chunk in follow] == []


async def test_following_goes_on_over_a_rotation(directory: Path, tmp_path: Path) -> None:
    (directory / "process.json").write_text("{}")
    path = write(directory, "a long line\n")
    follow = PodLogs(tmp_path).open("default", "p", "u", "server", follow=True)
    assert await anext(follow) == b"a long line\n"
    rotate(path, max_bytes=2)
    write(directory, "new\n")
    assert await anext(follow) == b"new\n"


async def test_a_log_that_grew_too_long_keeps_its_end(directory: Path, tmp_path: Path) -> None:
    with log_path(directory, 0).open("ab", buffering=0) as written_by_a_process:
        written_by_a_process.write(b"one\ntwo\nthree\n")
        assert rotate(log_path(directory, 0), max_bytes=8)
        written_by_a_process.write(b"four\n")
    assert log_path(directory, 0).read_text() == "four\n"
    assert await read(tmp_path) == "three\nfour\n"
    assert await read(tmp_path, tail_lines=2) == "three\nfour\n"


def test_a_short_log_is_left_alone(directory: Path) -> None:
    assert not rotate(write(directory, "x"), max_bytes=8)
    assert not rotate(directory / "9.log", max_bytes=8)


def test_old_runs_are_forgotten(directory: Path) -> None:
    for run in (1, 2, 10):
        write(directory, "x", run)
    forget_old_runs(directory, keep=2)
    assert runs(directory) == [2, 10]


def test_last_words_are_short(directory: Path) -> None:
    path = write(directory, "".join(f"line {i}\n\n" for i in range(100)))
    assert last_words(path, lines=4) == "line 98\nline 99"
    assert last_words(directory / "none.log") == ""
