"""What a Pod's life tells in Events."""

from __future__ import annotations

from kubeai.embedded.node.life import Delete, Event, Exited, Probed, Progress, Started, StartFailed
from kubeai.embedded.node.podevents import PodEvent, pod_events
from tests.builders import container
from tests.unit.embedded.node.story import LIVENESS, Story, http_probe


def told(story: Story, *events: Event) -> list[PodEvent]:
    """The Events of what happens next."""
    before = story.life
    story.then(*events)
    return list(pod_events(before, story.life))


def test_a_start_is_told() -> None:
    story = Story()
    assert told(story) == []
    assert told(story, Started("server")) == [PodEvent("Normal", "Started", "Started container server")]


def test_a_crash_is_told_with_its_last_line() -> None:
    story = Story()
    story.running()
    message = "back-off 1s restarting failed container=server pod=p (exit code 3: no such model)"
    assert told(story, Exited("server", 3, "loading\nno such model")) == [PodEvent("Warning", "BackOff", message)]


def test_a_start_that_fails_is_told_with_its_reason() -> None:
    story = Story()
    story.then()
    event = PodEvent("Warning", "Failed", "ErrImagePull: no recipe")
    assert told(story, StartFailed("server", "ErrImagePull", "no recipe")) == [event]


def test_an_installation_is_told_once() -> None:
    story = Story()
    story.then()
    begun = PodEvent("Normal", "InstallingEngine", "installing engine x")
    assert told(story, Progress("server", "InstallingEngine", "installing engine x")) == [begun]
    assert told(story, Progress("server", "InstallingEngine", "installing engine x: 50%")) == []


def test_a_server_that_is_stopped_for_its_health_is_told() -> None:
    story = Story(container(livenessProbe=http_probe(failureThreshold=1)))
    story.running()
    story.after(30)
    event = PodEvent("Warning", "Unhealthy", "Container server is stopped: liveness probe failed: HTTP status 500")
    assert told(story, Probed("server", LIVENESS, False, "HTTP status 500")) == [event]


def test_a_deletion_is_told_for_what_runs() -> None:
    story = Story()
    story.running()
    assert told(story, Delete(30)) == [PodEvent("Normal", "Killing", "Stopping container server")]
