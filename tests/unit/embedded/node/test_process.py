"""Processes that outlive us: known again by their record, and strangers left alone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kubeai.embedded.node.process import (
    OWNER_VARIABLE,
    Process,
    alive,
    kill_strays,
    read_record,
    spawn,
)

WAIT = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.record = root / "process.json"
        self.log = root / "0.log"
        self.started: list[Process] = []

    def spawn(self, *argv: str, run: int = 0) -> Process:
        env = {**os.environ, OWNER_VARIABLE: str(self.root)}
        process = spawn(argv or WAIT, env, self.root, self.log, self.record, run=run)
        self.started.append(process)
        return process

    async def up(self) -> None:
        """Until all that were started are in the midst of `WAIT`."""
        async with asyncio.timeout(60):
            while self.log.read_text().count("up") < len(self.started):  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        await process.wait()


async def ended(process: Process) -> int | None:
    return await asyncio.wait_for(process.wait(), 60)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("raise SystemExit(3)", 3, id="its exit code"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -9, id="the signal that ended it"),
    ],
)
async def test_the_end_of_a_process(bench: Bench, code: str, expected: int) -> None:
    assert await ended(bench.spawn(sys.executable, "-c", code)) == expected


async def test_what_it_writes_goes_to_its_log(bench: Bench) -> None:
    await ended(bench.spawn(sys.executable, "-c", "import sys; print('out'); sys.stdout.flush(); sys.exit('err')"))
    assert bench.log.read_text() == "out\nerr\n"


async def test_a_process_leads_its_own_session(bench: Bench) -> None:
    process = bench.spawn()
    assert os.getsid(process.pid) == process.pid
    process.terminate()
    assert await ended(process) == -15


async def test_a_process_is_known_again_by_its_record(bench: Bench) -> None:
    process = bench.spawn(run=7)
    record = read_record(bench.record)
    assert record is not None
    assert (record, alive(record)) == (process.record, True)
    process.kill()
    await ended(process)
    assert not alive(record)


async def test_a_stranger_with_the_same_process_id_is_not_taken_for_it(bench: Bench) -> None:
    record = bench.spawn().record
    assert not alive(replace(record, start_time="0"))
    assert not alive(replace(record, boot_id="another boot"))


async def test_an_adopted_process_ends_with_an_unknown_code(bench: Bench) -> None:
    process = bench.spawn()
    adopted = Process(process.record)
    adopted.terminate()
    assert await ended(adopted) is None
    assert await ended(process) == -15


def test_a_damaged_record_is_no_record(bench: Bench) -> None:
    bench.record.write_text('{"pid": 1')
    assert read_record(bench.record) is None


def test_a_program_that_does_not_exist_is_an_error(bench: Bench) -> None:
    with pytest.raises(FileNotFoundError):
        bench.spawn("no-such-program")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of other processes")
async def test_processes_that_no_record_knows_are_killed_and_the_others_left_alone(bench: Bench) -> None:
    stray, known = bench.spawn(), bench.spawn()
    await bench.up()  # the system shows nothing of the environment while it still makes it
    assert kill_strays(bench.root, frozenset({known.pid})) == [stray.pid]
    assert await ended(stray) == -9
    assert alive(known.record)
