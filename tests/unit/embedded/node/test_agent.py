"""The node agent with real processes against the real embedded API server."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS, Resource
from kubeai.embedded.node.process import Process, ProcessRecord, boot_id, start_time
from tests.builders import container
from tests.unit.embedded.node.machine import DEADLINE_S, Machine, manifest, python, server_state, web_server


async def get(url: str) -> int:
    with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
        return int(answer.status)


async def until_nobody_listens(host: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection(host, 8000)
                writer.close()


async def test_the_machine_registers_as_a_node_with_what_it_has(local: Machine) -> None:
    async with local.agent():
        node = await local.client.get(NODES, "local")
    assert node["status"]["allocatable"] == {"cpu": "4", "memory": "8Gi", "pods": "110"}


async def test_a_server_runs_on_its_own_address_until_its_pod_is_deleted(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("a", web_server()))
        await local.create(manifest("b", web_server()))
        addresses = [(await local.until_ready(name))["podIP"] for name in ("a", "b")]
        assert len(set(addresses)) == 2
        assert [await get(f"http://{address}:8000/") for address in addresses] == [200, 200]
        await local.client.delete(PODS, "a")
        await local.until_gone("a")
        with pytest.raises(OSError, match="refused"):
            await get(f"http://{addresses[0]}:8000/")


async def test_a_pod_that_does_not_fit_waits_with_the_reason_until_there_is_room(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("first", web_server(resources={"requests": {"cpu": "3"}})))
        await local.until_ready("first")
        await local.create(manifest("second", web_server(resources={"requests": {"cpu": "2"}})))
        status = await local.until("second", lambda s: s.get("conditions"))
        assert status["phase"] == "Pending"
        assert status["conditions"][0]["reason"] == "Unschedulable"
        assert (
            status["conditions"][0]["message"] == "0/1 nodes are available: 1 Insufficient cpu (requested 2, free 1)."
        )
        await local.client.delete(PODS, "first")
        await local.until_ready("second")


async def test_a_pod_that_is_deleted_while_another_is_refused_gets_no_seat(
    local: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing, held = asyncio.Event(), asyncio.Event()
    patch = local.client.patch

    async def slow(resource: Resource, name: str, *args: Any, **options: Any) -> Any:
        if name == "a":
            refusing.set()
            await held.wait()
        return await patch(resource, name, *args, **options)

    monkeypatch.setattr(local.client, "patch", slow)
    await local.create(manifest("a", container(resources={"requests": {"cpu": "99"}})))
    uid = await local.create(manifest("b", container(command=["sleep", "600"])))
    async with local.agent():
        await asyncio.wait_for(refusing.wait(), DEADLINE_S)
        await local.client.delete(PODS, "b")
        await local.until_gone("b")
        held.set()
        await local.create(manifest("c", web_server()))
        await local.until_ready("c")
        assert not (local.data_dir / "pods" / uid).exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"readinessProbe": {"httpGet": {"port": 70000}}},
        {"resources": {"requests": {"cpu": "1e400"}}},
    ],
)
async def test_a_pod_that_no_machine_can_run_takes_no_other_down(local: Machine, fields: dict[str, Any]) -> None:
    async with local.agent():
        await local.create(manifest("nonsense", container(**fields)))
        await local.until("nonsense", lambda s: s.get("conditions") or s.get("reason") == "InvalidPod")
        await local.create(manifest("p", web_server()))
        await local.until_ready("p")


async def test_a_bound_pod_that_no_machine_can_run_keeps_no_node_from_starting(local: Machine) -> None:
    probe = {"httpGet": {"port": 70000}}
    await local.create(manifest("nonsense", container(readinessProbe=probe), nodeName="local"))
    async with local.agent():
        await local.until("nonsense", lambda s: s.get("reason") == "InvalidPod")


@pytest.mark.parametrize(("limit", "seen"), [("1Gi", "1Gi"), (None, "None")])
async def test_every_container_is_told_the_limit_of_the_cache(local: Machine, limit: str | None, seen: str) -> None:
    tell = python("import os; print(os.environ['KUBEAI_CACHE_DIR'], os.environ.get('KUBEAI_CACHE_LIMIT'))")
    async with local.agent(cache_limit=limit):
        uid = await local.create(manifest("p", container(command=tell), restartPolicy="Never"))
        await local.until("p", lambda s: s["phase"] == "Succeeded")
    assert await local.log("p", uid) == f"{local.data_dir / 'cache'} {seen}\n"


async def test_a_crash_is_told_with_the_last_log_lines(local: Machine) -> None:
    async with local.agent():
        dying = container(command=python("print('no such model: x'); raise SystemExit(3)"))
        uid = await local.create(manifest("p", dying))
        status = await local.until(
            "p", lambda s: server_state(s).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        )
        last = status["containerStatuses"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["message"]) == (3, "no such model: x")
        await local.until("p", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        assert await local.log("p", uid, previous=True) == "no such model: x\n"


async def test_events_tell_the_story_of_a_pod(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("p", web_server()))
        await local.until_ready("p")
        async with asyncio.timeout(DEADLINE_S):
            reasons: list[str] = []
            while "Started" not in reasons:
                reasons = [event["reason"] for event in await local.client.list(EVENTS)]
    assert sorted(reasons) == ["Scheduled", "Started"]


async def test_an_image_without_a_recipe_says_what_to_do(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("p", container(image="vllm/vllm-openai:v1")))
        status = await local.until("p", lambda s: server_state(s).get("waiting", {}).get("reason") == "ErrImagePull")
        assert "cannot run on this machine without containers" in server_state(status)["waiting"]["message"]


async def test_a_program_that_does_not_exist_is_named(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("p", container(command=["no-such-program"])))
        status = await local.until("p", lambda s: "message" in server_state(s).get("waiting", {}))
        assert server_state(status)["waiting"] == {
            "reason": "RunContainerError",
            "message": 'exec: "no-such-program": there is no such program or directory',
        }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"args": ["a\0b"]}, "RunContainerError"),
        ({"env": [{"name": "A", "value": "a\0b"}]}, "RunContainerError"),
        ({"workingDir": "/a\0b"}, "CreateContainerConfigError"),
    ],
)
async def test_what_no_process_can_be_given_is_said(local: Machine, fields: dict[str, Any], reason: str) -> None:
    async with local.agent():
        await local.create(manifest("p", container(command=["true"], **fields)))
        status = await local.until("p", lambda s: "message" in server_state(s).get("waiting", {}))
    assert server_state(status)["waiting"]["reason"] == reason
    assert "embedded null" in server_state(status)["waiting"]["message"]


async def test_environment_and_volumes_reach_the_process(local: Machine) -> None:
    await local.client.create(SECRETS, {"metadata": {"name": "s"}, "data": {"key": "c2VjcmV0"}})
    await local.client.create(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"file": "content"}})
    show = "import os; print(os.environ['TOKEN'], os.environ['WHERE'], open('/etc/app/file').read(), end='')"
    server = container(
        command=[*python(show)],
        env=[
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
            {"name": "WHERE", "value": "$(TOKEN)@0.0.0.0:8000"},
        ],
        volumeMounts=[{"name": "files", "mountPath": "/etc/app"}],
    )
    async with local.agent():
        uid = await local.create(
            manifest("p", server, volumes=[{"name": "files", "configMap": {"name": "c"}}], restartPolicy="Never")
        )
        status = await local.until("p", lambda s: s.get("phase") in ("Succeeded", "Failed"))
        assert await local.log("p", uid) == f"secret secret@{status['podIP']}:8000 content"


async def test_a_relative_data_directory_is_as_good(local: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(local.data_dir)
    local.data_dir = Path(".")
    async with local.agent():
        await local.create(
            manifest("p", web_server(volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=[{"name": "v"}])
        )
        await local.until_ready("p")


async def test_a_missing_secret_is_waited_for(local: Machine) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "later", "key": "key"}}}]
    async with local.agent():
        await local.create(manifest("p", web_server(env=env)))
        status = await local.until("p", lambda s: "message" in server_state(s).get("waiting", {}))
        assert server_state(status)["waiting"]["message"] == 'secret "later" not found'
        await local.client.create(SECRETS, {"metadata": {"name": "later"}, "data": {"key": "eA=="}})
        await local.until_ready("p")


async def test_a_pod_whose_start_hangs_can_be_deleted(local: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, held = asyncio.Event(), asyncio.Event()
    get = local.client.get

    async def hanging(resource: Resource, *args: Any, **options: Any) -> Any:
        if resource == SECRETS:
            asked.set()
            await held.wait()
        return await get(resource, *args, **options)

    monkeypatch.setattr(local.client, "get", hanging)
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}}]
    async with local.agent():
        await local.create(manifest("p", container(env=env)))
        await local.until("p", lambda s: s.get("podIP"))
        await asyncio.wait_for(asked.wait(), DEADLINE_S)
        await local.client.delete(PODS, "p")
        await local.until_gone("p")


async def test_an_init_container_prepares_a_shared_volume(local: Machine) -> None:
    mounts = [{"name": "model", "mountPath": "/model"}]
    loader = container("loader", command=python("open('/model/weights', 'w').write('w')"), volumeMounts=mounts)
    server = container(command=python("print(open('/model/weights').read())"), volumeMounts=mounts)
    async with local.agent():
        volumes = [{"name": "model", "emptyDir": {}}]
        uid = await local.create(manifest("p", server, initContainers=[loader], volumes=volumes, restartPolicy="Never"))
        await local.until("p", lambda s: s.get("phase") == "Succeeded")
        assert await local.log("p", uid) == "w\n"


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(local: Machine) -> None:
    stubborn = container(
        # In one piece: `print` would write the line's end by itself, and the log may be looked at in between.
        command=python("import os, signal; signal.signal(15, signal.SIG_IGN); os.write(1, b'up\\n'); signal.pause()")
    )
    async with local.agent():
        uid = await local.create(manifest("p", stubborn, terminationGracePeriodSeconds=1))
        await local.until_ready("p")
        assert await anext(local.logs.open("default", "p", uid, "server", follow=True)) == b"up\n"
        await local.client.delete(PODS, "p")
        await local.until_gone("p")


async def test_helpers_of_a_dead_server_do_not_stay(local: Machine) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    async with local.agent():
        uid = await local.create(manifest("p", container(command=python(code)), restartPolicy="Never"))
        await local.until("p", lambda s: s.get("phase") == "Succeeded")
        helper = int(await local.log("p", uid))
    left = ProcessRecord(helper, start_time(helper) or "", boot_id())
    await asyncio.wait_for(Process(left).wait(), DEADLINE_S)


async def test_a_pod_whose_runner_fails_leaves_no_process_and_says_so(
    local: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local.agent():
        await local.create(manifest("p", web_server()))
        address = (await local.until_ready("p"))["podIP"]
        monkeypatch.setattr("kubeai.embedded.node.runner.wake_at", None)
        status = await local.until("p", lambda s: s.get("reason") == "NodeAgentError")
        assert status["phase"] == "Failed"
        await until_nobody_listens(address)
        # Who wants it replaced sees how it ended; gone, it would be made anew at once, again and again.
        assert (await local.client.get(PODS, "p"))["status"]["phase"] == "Failed"


async def test_stopping_the_agent_stops_the_processes_and_starting_it_brings_them_back(local: Machine) -> None:
    async with local.agent():
        await local.create(manifest("p", web_server()))
        address = (await local.until_ready("p"))["podIP"]
    with pytest.raises(OSError, match="refused"):
        await get(f"http://{address}:8000/")
    stopped = await local.until("p", lambda s: s["conditions"][-1]["status"] == "False")
    assert stopped["conditions"][-1]["reason"] == "NodeShutdown"
    async with local.agent():
        status = await local.until_ready("p")
        assert status["podIP"] == address
        assert status["containerStatuses"][0]["restartCount"] == 1


async def test_servers_that_survived_a_crash_are_adopted(local: Machine) -> None:
    async with local.agent(stop_grace_s=None):  # what a crash looks like from outside
        await local.create(manifest("p", web_server()))
        address = (await local.until_ready("p"))["podIP"]
    assert await get(f"http://{address}:8000/") == 200
    async with local.agent():
        status = await local.until_ready("p")
        assert status["containerStatuses"][0]["restartCount"] == 0
        assert await get(f"http://{address}:8000/") == 200
        await local.client.delete(PODS, "p")
        await local.until_gone("p")
    with pytest.raises(OSError, match="refused"):
        await get(f"http://{address}:8000/")


@pytest.mark.parametrize("phase", ["Failed", "Running"])
async def test_a_pod_that_ended_before_a_crash_and_was_to_go_goes(local: Machine, phase: str) -> None:
    await local.create(manifest("p", web_server(), nodeName="local"))
    await local.client.delete(PODS, "p")
    await local.client.patch(PODS, "p", {"status": {"phase": phase}}, subresource="status")
    async with local.agent():
        await local.until_gone("p")


async def test_a_process_whose_pod_is_gone_is_not_left_behind(local: Machine) -> None:
    async with local.agent(stop_grace_s=None):
        await local.create(manifest("p", web_server()))
        address = (await local.until_ready("p"))["podIP"]
    await local.client.delete(PODS, "p", grace_period_s=0)
    async with local.agent():
        with pytest.raises(OSError, match=r"refused|reset"):
            await get(f"http://{address}:8000/")
        assert not list((local.data_dir / "pods").iterdir())
