"""Work that a signal may end."""

from __future__ import annotations

import asyncio

import pytest

from kubeai.app.signals import unless


async def test_work_that_ends_first_gives_its_result() -> None:
    async def work() -> str:
        return "done"

    assert await unless(asyncio.Event(), work()) == "done"


async def test_work_is_cancelled_when_the_stop_comes_first() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            stop.set()
            await asyncio.Event().wait()
            return "never"
        finally:
            cancelled.set()

    assert await unless(stop, work()) is None
    assert cancelled.is_set()


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await unless(asyncio.Event(), work())
