"""The operator at work: from a Model's change to what is written, and nothing more than that."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS, PODS
from kubeai.kube.errors import APIError, ConnectionFailed
from tests.builders import system
from tests.unit.controller.conftest import manifest, running
from tests.unit.controller.fake_cluster import FakeCluster, Write

pytestmark = pytest.mark.looptime


async def test_a_model_gets_its_pod_and_becomes_ready() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        (pod,) = operator.pods()
        assert pod["metadata"]["ownerReferences"][0]["name"] == "m"
        assert operator.condition()[:2] == ("False", "WaitingForNode")
        operator.make_ready()
        await operator.settle()
        assert operator.condition() == ("True", "Ready", "1 of 1 replicas are ready.")
        assert cluster.get(MODELS, "m")["status"]["replicas"] == {"all": 1, "ready": 1}


async def test_waking_from_zero_creates_the_pod_without_delay() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest())
        await operator.settle()
        before = asyncio.get_running_loop().time()
        cluster.put(MODELS, manifest(replicas=1))
        for _ in range(100):
            # Gives others their turn, and lets no (virtual) time pass.
            await asyncio.sleep(0)
        assert len(operator.pods()) == 1
        assert asyncio.get_running_loop().time() == before


async def test_when_nothing_changes_nothing_is_written() -> None:
    # fault O6
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        operator.make_ready()
        await operator.settle()
        cluster.writes.clear()
        cluster.put(MODELS, manifest(replicas=1, metadata={"annotations": {"seen": "again"}}))
        await operator.settle(5)
        assert cluster.written(events=True) == []
        assert operator.reconciles("unchanged") > 0


async def test_a_late_watch_does_not_make_too_many_pods() -> None:
    cluster = FakeCluster()
    cluster.lag_s = 0.3
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=3))
        for number in range(20):
            await operator.settle(0.1)
            cluster.put(MODELS, manifest(replicas=3, metadata={"annotations": {"n": str(number)}}))
        await operator.settle(3)
        assert cluster.written().count("POST pods") == 3


async def test_a_scale_down_deletes_and_waits_for_the_pod_to_go() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=2))
        await operator.settle()
        operator.make_ready()
        await operator.settle()
        cluster.put(MODELS, manifest(replicas=0))
        await operator.settle(2)
        assert cluster.written().count("DELETE pods") == 2
        operator.finish_deletions()
        await operator.settle()
        assert operator.condition()[1] == "ScaledToZero"
        assert cluster.get(MODELS, "m")["status"]["replicas"] == {"all": 0, "ready": 0}


async def test_a_rollout_keeps_the_wanted_number_ready() -> None:
    cluster = FakeCluster()
    async with running(cluster, system(modelRollouts={"surge": 1})) as operator:
        cluster.put(MODELS, manifest(replicas=2))
        await operator.settle()
        operator.make_ready()
        await operator.settle()
        cluster.put(MODELS, manifest(replicas=2, args=["--new"]))
        for _ in range(6):
            await operator.settle()
            assert sum(bool(pod.get("status")) for pod in operator.pods()) >= 2
            operator.make_ready()
            operator.finish_deletions()
        await operator.settle()
        assert all("--new" in pod["spec"]["containers"][0]["args"] for pod in operator.pods())
        assert len(operator.pods()) == 2
        assert cluster.written().count("POST pods") == 4


async def test_a_pod_that_failed_is_replaced() -> None:
    # fault O2
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        (first,) = operator.pods()
        cluster.put(PODS, first | {"status": {"phase": "Failed", "reason": "Evicted", "message": "low on disk"}})
        await operator.settle()
        assert operator.condition()[1] == "PodFailed"
        await operator.settle(11)
        (second,) = operator.pods()
        assert second["metadata"]["name"] != first["metadata"]["name"]


async def test_files_are_kept_in_a_config_map_and_go_with_the_last_one() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1, files=[{"path": "/a", "content": "x"}]))
        await operator.settle()
        assert cluster.written()[:2] == ["POST configmaps", "POST pods"]
        cluster.put(CONFIG_MAPS, {"metadata": {"name": "model-m-files"}, "data": {"_a": "edited by hand"}})
        await operator.settle()
        assert cluster.get(CONFIG_MAPS, "model-m-files")["data"] == {"_a": "x"}
        cluster.put(MODELS, manifest(replicas=1, files=[]))
        await operator.settle()
        assert cluster.of(CONFIG_MAPS) == []


async def test_a_users_mistake_waits_for_an_edit() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1, resourceProfile="no:1"))
        await operator.settle(120)
        assert operator.condition()[:2] == ("False", "UnknownResourceProfile")
        assert operator.reconciles("problem") <= 3
        cluster.put(MODELS, manifest(replicas=1, resourceProfile="cpu:1"))
        await operator.settle()
        assert len(operator.pods()) == 1


async def test_events_tell_what_was_done_and_why_it_cannot_be() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        cluster.put(MODELS, manifest(replicas=1, resourceProfile="no:1"))
        await operator.settle()
        told = [(w.body["type"], w.body["reason"]) for w in cluster.writes if str(w) == "POST events"]
        assert ("Normal", "PodsCreated") in told
        assert ("Warning", "UnknownResourceProfile") in told


def refusing(what: str, error: Exception, times: int = 1_000_000) -> Any:
    left = times

    def refuse(write: Write) -> None:
        nonlocal left
        if str(write) == what and left > 0:
            left -= 1
            raise error

    return refuse


async def test_a_refusal_is_told_and_tried_again_more_and_more_slowly() -> None:
    # fault O4
    cluster = FakeCluster()
    cluster.refuse = refusing("POST pods", APIError(403, "Forbidden", "exceeded quota: gpus"))
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(60)
        status, reason, message = operator.condition()
        assert (status, reason) == ("False", "QuotaExceeded")
        assert "refused to create Pod model-m-" in message
        assert message.endswith("exceeded quota: gpus")
        assert 5 < cluster.written().count("POST pods") < 20
        # Told once, not at every attempt.
        assert cluster.written().count("PATCH models/status") == 1
        cluster.refuse = lambda write: None
        await operator.settle(61)
        assert len(operator.pods()) == 1
        assert operator.condition()[1] == "WaitingForNode"


FAULTS: dict[str, Exception] = {
    "the server is overloaded": APIError(503, "ServiceUnavailable", "later"),
    "the server wants a pause": APIError(429, "TooManyRequests", "later", retry_after_s=2),
    "the line breaks": ConnectionFailed("reset"),
    "somebody was faster": APIError(409, "Conflict", "modified"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_what_time_will_mend_is_tried_again_and_not_told(fault: Exception) -> None:
    cluster = FakeCluster()
    cluster.refuse = refusing("POST pods", fault, times=2)
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(10)
        assert len(operator.pods()) == 1
        assert operator.condition()[1] == "WaitingForNode"


@pytest.mark.parametrize(
    "asked_s",
    [
        pytest.param(0.0, id="at once: it would be asked without a pause"),
        pytest.param(86400.0, id="tomorrow: the page of a proxy in maintenance"),
    ],
)
async def test_a_server_that_says_when_to_come_back_is_not_taken_at_its_word(asked_s: float) -> None:
    cluster = FakeCluster()
    error = APIError(429, "TooManyRequests", "later", retry_after_s=asked_s)
    cluster.refuse = refusing("POST pods", error, times=1000)
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(60)
        assert cluster.written().count("POST pods") < 20
        cluster.refuse = lambda write: None
        await operator.settle(61)
        assert len(operator.pods()) == 1


async def test_an_answer_that_is_lost_does_not_make_a_second_pod() -> None:
    cluster = FakeCluster()
    cluster.lag_s = 1

    def lose_the_answer(write: Write) -> None:
        if str(write) == "POST pods" and not cluster.of(PODS):
            cluster._create(write)
            raise ConnectionFailed("reset before the answer")

    cluster.refuse = lose_the_answer
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(10)
        assert len(cluster.of(PODS)) == 1
        assert cluster.written().count("DELETE pods") == 0


async def test_a_bug_is_loud_and_stops_no_other_model(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()

    def bug(write: Write) -> None:
        if write.name.startswith("model-broken"):
            raise ValueError("a bug")

    cluster.refuse = bug
    async with running(cluster) as operator:
        with caplog.at_level(logging.ERROR):
            cluster.put(MODELS, manifest("broken", replicas=1))
            cluster.put(MODELS, manifest("good", replicas=1))
            await operator.settle(5)
        assert [pod["metadata"]["labels"]["model"] for pod in operator.pods()] == ["good"]
        assert "default/broken: the operator failed" in caplog.text
        assert "ValueError: a bug" in caplog.text
        assert 2 < operator.reconciles("bug") < 10


async def test_one_slow_model_delays_no_other() -> None:
    # fault O1
    cluster = FakeCluster()
    request = cluster.request

    async def slow(method: str, path: str, **options: Any) -> bytes:
        if "slow" in str((options.get("body") or {}).get("metadata", {}).get("name")):
            await asyncio.sleep(3600)
        return await request(method, path, **options)

    cluster.request = slow  # type: ignore[method-assign]
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest("slow", replicas=1))
        for number in range(20):
            cluster.put(MODELS, manifest(f"quick-{number}", replicas=1))
        await operator.settle(1)
        assert len(operator.pods()) == 20


async def test_a_model_that_is_gone_is_no_error() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest())
        await operator.settle()
        cluster.remove(MODELS, "m")
        await operator.settle()
        assert operator.reconciles("gone") == 1


async def test_pods_of_an_earlier_model_of_the_same_name_are_left_alone() -> None:
    cluster = FakeCluster()
    async with running(cluster) as operator:
        owner = {"kind": "Model", "name": "m", "uid": "earlier", "controller": True}
        cluster.put(PODS, {"metadata": {"name": "old", "labels": {"model": "m"}, "ownerReferences": [owner]}})
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        assert len(operator.pods()) == 2
        assert cluster.written().count("DELETE pods") == 0


@pytest.mark.parametrize("stalls", [False, True], ids=["to its end", "as far as the kubelet sends it"])
async def test_the_log_of_a_dead_server_is_read_where_its_node_kept_nothing(stalls: bool) -> None:
    # faults O1, O4
    cluster = FakeCluster(log=b"loading\nout of memory\n", log_stalls=stalls)
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        (pod,) = operator.pods()
        died = {"terminated": {"exitCode": 1, "reason": "Error"}}
        server = {"name": "server", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        status = {"phase": "Running", "containerStatuses": [server | {"lastState": died}]}
        cluster.put(PODS, pod | {"spec": pod["spec"] | {"nodeName": "n"}, "status": status})
        await operator.settle(6 if stalls else 0.2)
        assert operator.condition()[1:] == (
            "CrashLoop",
            "The server died with exit code 1; its last words:\nloading\nout of memory",
        )


async def test_the_log_of_a_dead_server_is_read_once_for_each_death() -> None:
    cluster = FakeCluster(log=b"out of memory\n")
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle()
        (pod,) = operator.pods()
        bound = pod | {"spec": pod["spec"] | {"nodeName": "n"}}
        for restarts, annotation, words in ((1, "", "first"), (1, "seen again", "never read"), (2, "", "second")):
            cluster.log = words.encode()
            server = {
                "name": "server",
                "restartCount": restarts,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
            }
            metadata = bound["metadata"] | {"annotations": {"a": annotation}}
            status = {"phase": "Running", "containerStatuses": [server]}
            cluster.put(PODS, bound | {"metadata": metadata, "status": status})
            await operator.settle()
            expected = "first" if restarts == 1 else "second"
            assert operator.condition()[2].endswith(f"its last words:\n{expected}")


async def test_the_cache_is_filled_before_the_first_server_and_cleared_after_the_last() -> None:
    cluster = FakeCluster()
    config = system(cacheProfiles={"fast": {"sharedFilesystem": {"storageClassName": "rwx"}}})
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    async with running(cluster, config) as operator:
        cluster.put(MODELS, manifest(replicas=1, cacheProfile="fast"))
        await operator.settle()
        assert cluster.written()[:3] == ["PATCH models", "POST persistentvolumeclaims", "POST jobs"]
        assert operator.pods() == []
        cluster.put(PERSISTENT_VOLUME_CLAIMS, cluster.of(PERSISTENT_VOLUME_CLAIMS)[0] | {"status": {"phase": "Bound"}})
        cluster.put(JOBS, cluster.get(JOBS, "load-cache-m") | {"status": complete})
        await operator.settle()
        assert len(operator.pods()) == 1
        assert cluster.of(JOBS) == []
        assert operator.condition("CacheLoaded")[0] == "True"
        cluster.put(MODELS, manifest(metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"}))
        await operator.settle()
        assert operator.pods() == []
        cluster.put(JOBS, cluster.get(JOBS, "evict-cache-m") | {"status": complete})
        await operator.settle()
        assert cluster.of(MODELS) == []
        assert cluster.of(PERSISTENT_VOLUME_CLAIMS)[0]["metadata"].get("annotations") == {}


async def test_nothing_is_done_before_all_caches_are_complete() -> None:
    cluster = FakeCluster()
    request = cluster.request

    async def no_pods(method: str, path: str, **options: Any) -> bytes:
        if method == "GET" and path.endswith("/pods"):
            await asyncio.sleep(30)
        return await request(method, path, **options)

    cluster.request = no_pods  # type: ignore[method-assign]
    async with running(cluster) as operator:
        cluster.put(MODELS, manifest(replicas=1))
        await operator.settle(29)
        assert cluster.writes == []
        await operator.settle(2)
        assert len(operator.pods()) == 1
