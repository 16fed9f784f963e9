"""Probes: when a container counts as started, ready and alive."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.embedded.node.containers import Exec, HTTPGet, Probe, ProbeKind, TCPConnect, parse_pod
from kubeai.embedded.node.life import Check, Kill, Signal
from tests.builders import container, pod_body
from tests.unit.embedded.node.story import LIVENESS, READINESS, STARTUP, Story, http_probe


def server(**probes: Any) -> dict[str, Any]:
    return container(**{f"{kind}Probe": probe for kind, probe in probes.items()})


def kinds(steps: list[Any]) -> list[ProbeKind]:
    return [step.kind for step in steps if isinstance(step, Check)]


def all_three(**startup: Any) -> Story:
    return Story(
        server(
            startup=http_probe(periodSeconds=2, failureThreshold=3, **startup),
            readiness=http_probe(periodSeconds=10, failureThreshold=3),
            liveness=http_probe(periodSeconds=30, failureThreshold=3),
        )
    )


def test_the_startup_probe_holds_the_others_back() -> None:
    story = all_three()
    assert kinds(story.running()) == [STARTUP]
    assert kinds(story.probed(STARTUP, passed=True)) == [READINESS, LIVENESS]


def test_a_probe_is_not_started_twice() -> None:
    story = all_three()
    story.running()
    assert story.after(60).then() == []


def test_a_container_is_ready_only_when_started_and_ready() -> None:
    story = all_three()
    story.running()
    assert story.conditions["Ready"] == "False"
    story.probed(STARTUP, passed=True)
    assert (story.server["started"], story.server["ready"]) == (True, False)
    story.probed(READINESS, passed=True)
    assert story.conditions["Ready"] == "True"


@pytest.mark.parametrize(
    ("age_s", "pause_s"),
    [
        pytest.param(0, 0.02, id="a server that just began is looked at all the time"),
        pytest.param(20, 1, id="one that takes longer only every twentieth of its age"),
        pytest.param(1000, 2, id="never less often than its period"),
    ],
)
def test_a_starting_server_is_looked_at_often(age_s: float, pause_s: float) -> None:
    story = all_three()
    story.running()
    story.after(age_s).probed(STARTUP, passed=False)
    assert story.wakes_in_s() == pytest.approx(pause_s)


def test_looking_often_does_not_use_up_the_threshold() -> None:
    story = all_three()
    story.running()
    looks = [story.after(0.1).probed(STARTUP, passed=False) for _ in range(58)]
    assert looks == [[]] * 58, "5.8 s are less than 3 periods of 2 s"


def test_a_server_that_does_not_start_in_time_is_restarted() -> None:
    story = all_three()
    story.running()
    steps = [story.after(2).probed(STARTUP, passed=False, message="HTTP status 503") for _ in range(3)]
    assert steps[-1] == [Kill("server", Signal.TERM)]
    story.exits(0)
    assert story.server["lastState"]["terminated"]["message"] == "startup probe failed: HTTP status 503"


def test_a_dead_server_is_restarted_within_its_grace() -> None:
    story = all_three()
    story.running()
    story.probed(STARTUP, passed=True)
    steps = [story.after(30).probed(LIVENESS, passed=False) for _ in range(3)]
    assert Kill("server", Signal.TERM) in steps[-1]
    assert story.server["ready"] is False
    assert Kill("server", Signal.KILL) in story.after(30).then()


def test_an_unready_server_gets_no_requests_but_keeps_running() -> None:
    story = all_three()
    story.running()
    story.probed(STARTUP, passed=True)
    story.probed(READINESS, passed=True)
    ready = []
    for passed in (False, False, False, True):
        story.after(10).probed(READINESS, passed=passed)
        ready.append(story.server["ready"])
    assert ready == [True, True, False, True]


def test_readiness_can_need_several_successes() -> None:
    story = Story(server(readiness=http_probe(successThreshold=2)))
    story.running()
    ready = []
    for _ in range(2):
        story.probed(READINESS, passed=True)
        ready.append(story.server["ready"])
    assert ready == [False, True]


def test_failures_in_the_initial_delay_do_not_count() -> None:
    story = all_three(initialDelaySeconds=60)
    story.running()
    for _ in range(10):
        assert story.after(5).probed(STARTUP, passed=False) == []


def test_liveness_waits_for_its_initial_delay() -> None:
    story = Story(server(liveness=http_probe(initialDelaySeconds=900)))
    assert kinds(story.running()) == []
    assert story.wakes_in_s() == 900


def test_a_command_is_run_no_more_often_than_its_period() -> None:
    story = Story(server(startup={"exec": {"command": ["check"]}, "periodSeconds": 5}))
    story.running()
    story.probed(STARTUP, passed=False)
    assert story.wakes_in_s() == 5


def test_an_answer_about_a_run_that_is_over_is_ignored() -> None:
    story = all_three()
    story.running()
    story.exits()
    story.probed(STARTUP, passed=True)
    assert story.server["started"] is False


def test_a_restarted_container_has_to_pass_its_probes_again() -> None:
    story = all_three()
    story.running()
    story.probed(STARTUP, passed=True)
    story.exits()
    assert kinds(story.after(1).running()) == [STARTUP]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        pytest.param(
            {"httpGet": {"path": "/health", "port": "http"}}, Probe(HTTPGet(8000, "/health")), id="a port by its name"
        ),
        pytest.param({"tcpSocket": {"port": 9000}}, Probe(TCPConnect(9000)), id="a port by its number"),
        pytest.param({"exec": {"command": ["true"]}}, Probe(Exec(("true",))), id="a command"),
        pytest.param(
            {"tcpSocket": {"port": 1}, "initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 3,
             "successThreshold": 4, "failureThreshold": 5},
            Probe(TCPConnect(1), 1, 2, 3, 4, 5),
            id="all its numbers",
        ),
    ],
)  # fmt: skip
def test_reading_a_probe(probe: dict[str, Any], expected: Probe) -> None:
    body = container(ports=[{"name": "http", "containerPort": 8000}], readinessProbe=probe)
    (parsed,) = parse_pod(pod_body("p", body)).containers
    assert parsed.probes == {READINESS: expected}
