"""Commands in containers that run on this machine, as the operator and kubectl start them."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import PODS
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.errors import APIError
from kubeai.kube.exec import Channel, Finished
from tests.builders import container
from tests.contract.kubectl import find_kubectl
from tests.unit.embedded.node.machine import DEADLINE_S, Machine, manifest, python, server_state

EVERY_BYTE = bytes(range(256)) * 1024
SLEEPS = container(
    command=python("import signal; signal.pause()"),
    env=[{"name": "COLOUR", "value": "green"}],
    volumeMounts=[{"name": "shared", "mountPath": "/adapters"}],
)
LOADER = container("loader", image="local/loader", command=python("import signal; signal.pause()"))


@pytest.fixture
async def running(local: Machine) -> AsyncIterator[Machine]:
    """A Pod p with two containers, server and loader, that wait."""
    async with local.agent(cache_limit="1Gi"):
        await local.create(manifest("p", SLEEPS, LOADER, volumes=[{"name": "shared", "emptyDir": {}}]))
        await local.until_ready("p")
        yield local


async def run(local: Machine, *command: str, **options: Any) -> Finished:
    return await local.client.exec("p", command, container=options.pop("container", "server"), **options)


@pytest.mark.parametrize(
    ("command", "stdin", "expected"),
    [
        pytest.param(
            ["sh", "-c", "echo $COLOUR"], None, Finished(0, b"green\n"), id="it has the container's variables"
        ),
        pytest.param(
            ["sh", "-c", "echo $KUBEAI_CACHE_LIMIT"],
            None,
            Finished(0, b"1Gi\n"),
            id="adapters keep to the cache's limit",
        ),
        pytest.param(["sh", "-c", "echo no >&2; exit 3"], None, Finished(3, b"", b"no\n"), id="its exit code is told"),
        pytest.param(["sh", "-c", "kill -9 $$"], None, Finished(137), id="and its signal, as shells count"),
        pytest.param(["cat"], None, Finished(0), id="it has no input unless it is given some"),
        pytest.param(["cat"], b"", Finished(0), id="an empty input ends"),
        pytest.param(["cat"], EVERY_BYTE, Finished(0, EVERY_BYTE), id="every byte comes through in both directions"),
        pytest.param(["true"], EVERY_BYTE, Finished(0), id="it need not read its input"),
        pytest.param(["echo", "a b", "c+&=%"], None, Finished(0, b"a b c+&=%\n"), id="its words stay words"),
    ],
)
async def test_a_command_runs_in_a_container(
    running: Machine, command: list[str], stdin: bytes | None, expected: Finished
) -> None:
    assert await run(running, *command, stdin=stdin) == expected


async def test_paths_of_the_containers_mounts_are_those_of_this_machine(running: Machine) -> None:
    await run(running, "sh", "-c", "echo hello > /adapters/a")
    (written,) = running.data_dir.glob("pods/*/volumes/shared/a")
    assert written.read_text() == "hello\n"


async def test_the_loader_is_there_under_its_name(running: Machine, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "weights").write_text("w")
    done = await run(running, "load", f"file://{tmp_path}/source", f"{tmp_path}/dest", container="loader")
    assert (done.exit_code, (tmp_path / "dest" / "weights").read_text()) == (0, "w")


@pytest.mark.parametrize(
    ("pod", "name", "command", "says"),
    [
        pytest.param("none", "server", "true", 'pods "none" not found', id="a Pod that is not there"),
        pytest.param("p", "other", "true", "container other is not valid for pod p", id="an unknown container"),
        pytest.param("p", None, "true", "a container name must be specified for pod p", id="one of several"),
        pytest.param("p", "server", "nothing-here", "exec of nothing-here in p/server: .*not found", id="no program"),
    ],
)
async def test_what_cannot_be_run_says_why(
    running: Machine, pod: str, name: str | None, command: str, says: str
) -> None:
    with pytest.raises(APIError, match=says):
        await running.client.exec(pod, [command], container=name)


async def test_a_command_ends_without_a_word_when_nobody_listens_any_more(
    running: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    async with running.client.start_exec("p", ["sh", "-c", "echo $$; sleep 600"], container="server") as command:
        pid = int((await anext(aiter(command)))[1])
    await _gone(pid)
    assert caplog.records == []


async def test_a_command_ends_with_its_container(running: Machine) -> None:
    async with running.client.start_exec("p", ["sh", "-c", "echo $$; sleep 600"], container="server") as command:
        said: list[tuple[Channel, bytes]] = []
        async for piece in command:
            said.append(piece)
            await running.client.delete(PODS, "p", grace_period_s=0)
        assert command.exit_code == 137
    await _gone(int(said[0][1]))


async def test_kubectl_runs_commands(running: Machine, tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    write_kubeconfig(config, running.client.access.server, "t")
    line = [find_kubectl(), "--kubeconfig", str(config), "exec", "-i", "p", "-c", "server", "--"]

    def call() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*line, "sh", "-c", "cat; exit 7"], input=EVERY_BYTE, capture_output=True, timeout=60)

    done = await asyncio.to_thread(call)
    assert (done.returncode, done.stdout, done.stderr) == (
        7,
        EVERY_BYTE,
        b"command terminated with exit code 7\n",
    )


async def test_a_container_that_does_not_run_runs_no_command(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("p", container(image="local/none")))
        await local.until("p", lambda status: server_state(status).get("waiting"))
        with pytest.raises(APIError, match='container "server" of pod "p": it does not run now'):
            await local.client.exec("p", ["true"])


async def _gone(pid: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.01)
