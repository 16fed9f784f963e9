"""Nothing that was acknowledged is lost, whenever the process is killed."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest

from kubeai.embedded.journal import Journal
from kubeai.embedded.store import Store

ROUNDS = 8
#: Writes without end: says `NAME ?` before each write, and `NAME VERSION` (or `NAME -`) once it is acknowledged.
_WRITER = """
import asyncio, random, sys
from pathlib import Path
from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.embedded.apiserver import APIServer
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError

async def main(data_dir, seed):
    chance = random.Random(seed)
    server = APIServer(Path(data_dir), token="t", logs=None)
    await server.start()
    async with Client(token_access(server.url, "t")) as client:
        async def write(worker):
            for number in range(10**9):
                name = f"w{worker}-{chance.randrange(5)}"
                print(name, "?", flush=True)
                try:
                    if chance.random() < 0.2:
                        await client.delete(CONFIG_MAPS, name)
                        print(name, "-", flush=True)
                        continue
                    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
                    body["data"] = {"text": str(number) * chance.randrange(500)}
                    made = await client.patch(CONFIG_MAPS, name, body, type="apply", force=True)
                    print(name, made["metadata"]["resourceVersion"], flush=True)
                except APIError as error:
                    assert error.not_found, error
                    print(name, "-", flush=True)
        await asyncio.gather(*(write(worker) for worker in range(4)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def _killed_writer(data_dir: Path, seed: int, writes: int) -> list[list[str]]:
    """What a writer said, until it was killed in the midst of its work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(data_dir), str(seed), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            for _ in range(writes):
                said += await process.stdout.readline()
    finally:
        process.send_signal(signal.SIGKILL)
        said += await process.stdout.read()
        await process.wait()
    assert said.count(b"\n") >= writes
    return [line.split() for line in said.decode().split("\n")[:-1]]


def _stored(data_dir: Path) -> dict[str, str]:
    journal = Journal(data_dir / "cluster.db")
    store = Store(journal.write)
    store.restore(*journal.load())
    journal.close()
    return {e.key.name: str(e.version) for e in store.entries("configmaps", "default")}


def _lost(before: dict[str, str], said: list[list[str]], found: dict[str, str]) -> list[str]:
    """The names whose stored state is not the acknowledged one, although no write of them was under way."""
    acknowledged, under_way = dict(before), set[str]()
    for name, state in said:
        if state == "?":
            under_way.add(name)
        else:
            under_way.discard(name)
            acknowledged[name] = state
    expected = {name: state for name, state in acknowledged.items() if state != "-"}
    return [n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n) and n not in under_way]


@pytest.mark.timeout(300)
async def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    chance = random.Random(7)
    before: dict[str, str] = {}
    for seed in range(ROUNDS):
        said = await _killed_writer(tmp_path, seed, chance.randrange(20, 300))
        found = _stored(tmp_path)
        assert _lost(before, said, found) == []
        before = found


@pytest.mark.parametrize(
    ("said", "found", "lost"),
    [
        pytest.param([["a", "?"], ["a", "7"]], {"a": "6"}, ["a"], id="an older state"),
        pytest.param([["a", "?"], ["a", "7"]], {}, ["a"], id="nothing"),
        pytest.param([["a", "?"], ["a", "-"]], {"a": "6"}, ["a"], id="what was deleted"),
        pytest.param([["a", "7"], ["a", "?"]], {"a": "8"}, [], id="a write that was under way"),
    ],
)
def test_a_loss_would_be_seen(said: list[list[str]], found: dict[str, str], lost: list[str]) -> None:
    assert _lost({}, said, found) == lost
