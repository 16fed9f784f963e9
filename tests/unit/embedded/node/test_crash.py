"""SIGKILL of everything that is KubeAI: the servers run on, and the next start knows them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.unit.embedded.node.machine import DEADLINE_S, machine

HOST = """
import asyncio, sys
from pathlib import Path
from tests.unit.embedded.node.machine import machine, manifest, web_server

async def main() -> None:
    async with machine(Path(sys.argv[1])) as local, local.agent():
        await local.create(manifest("p", web_server()))
        status = await local.until_ready("p")
        print(status["podIP"], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def crash_with_a_running_server(data_dir: Path) -> str:
    """Returns the address of the server that survives."""
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, str(data_dir), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[4]
    )
    assert host.stdout is not None
    address = (await asyncio.wait_for(host.stdout.readline(), DEADLINE_S)).decode().strip()
    host.send_signal(signal.SIGKILL)
    await host.wait()
    return address


async def listens(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, 8000)
    except OSError:
        return False
    writer.close()
    return True


def lose_records(data_dir: Path) -> None:
    for record in data_dir.glob("pods/*/*/process.json"):
        record.unlink()


async def test_a_server_survives_and_is_adopted_then_stopped_with_the_rest(tmp_path: Path) -> None:
    address = await crash_with_a_running_server(tmp_path)
    assert await listens(address)
    async with machine(tmp_path) as local:
        async with local.agent():
            status = await local.until_ready("p")
            assert (status["podIP"], status["containerStatuses"][0]["restartCount"]) == (address, 0)
        assert not await listens(address)


async def test_a_server_without_its_records_is_not_left_behind(tmp_path: Path) -> None:
    address = await crash_with_a_running_server(tmp_path)
    lose_records(tmp_path)
    async with machine(tmp_path) as local, local.agent():
        status = await local.until("p", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        assert status["podIP"] == address
        await local.until_ready("p")
    assert not await listens(address)
