"""The informer against every way in which a watch can end: the copy equals the server, each change is told once."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from kubeai.api.k8s.objects import ConfigMap
from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.informer import Informer
from kubeai.kube.reflector import Timing
from tests.unit.kube.scripted import (
    Script,
    ScriptedServer,
    Watching,
    answer,
    config_map,
    refuses,
    status,
    stays_silent,
)

Told = list[tuple[str | None, str | None]]
QUICK = Timing(first_backoff_s=0.001, max_backoff_s=0.01)
EXPIRED = status(410, "Expired", "too old resource version")


def informer_of(
    client: Client, timing: Timing = QUICK, decode: Callable[[bytes], ConfigMap] | None = None
) -> tuple[Informer[ConfigMap], Told]:
    """An informer, and what its handler is told: (old, new) as NAME@DATA."""
    informer = Informer(
        client,
        CONFIG_MAPS,
        decode or msgspec.json.Decoder(ConfigMap).decode,
        indexers={"data": lambda obj: [(obj.data or {})["v"]]},
        timing=timing,
    )
    told: Told = []

    def words(obj: ConfigMap | None) -> str | None:
        return None if obj is None else f"{obj.name}@{(obj.data or {})['v']}"

    informer.on_change(lambda old, new: told.append((words(old), words(new))))
    return informer, told


@asynccontextmanager
async def running(informer: Informer[ConfigMap]) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def settled(informer: Informer[ConfigMap], server: ScriptedServer) -> AsyncIterator[None]:
    """Runs the informer; the block begins when all scripts are played and the last, silent watch is open."""
    async with running(informer):
        await server.idle.wait()
        yield


def contents(informer: Informer[ConfigMap]) -> dict[str, str]:
    return {obj.name: (obj.data or {})["v"] for obj in informer.all()}


async def modifies_a(watch: Watching) -> None:
    await watch.event("MODIFIED", config_map("a", 2))


async def expires(watch: Watching) -> None:
    await watch.event("ERROR", EXPIRED)


async def fails_inside(watch: Watching) -> None:
    await watch.event("ERROR", status(500, "InternalError", "etcd is away"))


async def closes(_: Watching) -> None:
    return None


async def aborts_in_mid_line(watch: Watching) -> None:
    await watch.raw(b'{"type":"MODIFIED","object":{"metadata":{"name":"a"')
    watch.abort()


async def closes_in_mid_line(watch: Watching) -> None:
    await watch.raw(b'{"type":"MODIFIED","object":{"metadata":{"name":"a"')


async def says_nonsense(watch: Watching) -> None:
    await watch.raw(b"<html>gateway</html>\n")


@pytest.mark.parametrize(
    ("ending", "lists"),
    [
        pytest.param(expires, 2, id="410 as an event: list again"),
        pytest.param(refuses(410, "Expired"), 2, id="410 as an HTTP status: list again"),
        pytest.param(refuses(500), 1, id="500: watch again from the same version"),
        pytest.param(refuses(429), 1, id="429: watch again from the same version"),
        pytest.param(closes, 1, id="a clean close: watch again from the same version"),
        pytest.param(aborts_in_mid_line, 1, id="an abort in the middle of a line: it was not said"),
        pytest.param(closes_in_mid_line, 1, id="a close in the middle of a line: it was not said"),
        pytest.param(fails_inside, 2, id="another error as an event: only a list is sure to help"),
        pytest.param(says_nonsense, 2, id="not an event at all: only a list is sure to help"),
        pytest.param(refuses(403), 2, id="403: list again, that is where the reason shows"),
    ],
)
async def test_after_a_watch_has_ended_the_next_change_is_told_once(
    server: ScriptedServer, client: Client, ending: Script | web.Response, lists: int
) -> None:
    server.objects = [config_map("a", 1)]
    server.scripts = [ending, modifies_a]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@1"), ("a@1", "a@2")]
        assert contents(informer) == {"a": "2"}
        assert server.lists == lists


async def test_events_change_the_copy_and_are_told(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1)]

    async def script(watch: Watching) -> None:
        await watch.event("MODIFIED", config_map("a", 2))
        await watch.event("ADDED", config_map("b", 3))
        await watch.event("DELETED", config_map("a", 4))

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@1"), ("a@1", "a@2"), (None, "b@3"), ("a@2", None)]
        assert contents(informer) == {"b": "3"}
        assert informer.resource_version == "4"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            [config_map("a", 1), config_map("b", 1)],
            [config_map("b", 1)],
            [("a@1", None)],
            id="deleted: told as gone, and nothing of the others",
        ),
        pytest.param(
            [config_map("a", 1, uid="first")],
            [config_map("a", 5, uid="second")],
            [("a@1", None), (None, "a@5")],
            id="deleted and created anew: told as two objects",
        ),
        pytest.param(
            [config_map("a", 1), config_map("b", 1)],
            [config_map("b", 3), config_map("c", 2)],
            [("b@1", "b@3"), (None, "c@2"), ("a@1", None)],
            id="all at once: first what is there, then what is not",
        ),
        pytest.param([config_map("a", 1)], [config_map("a", 1)], [], id="nothing: nothing is told"),
    ],
)
async def test_what_happened_while_nobody_watched_is_told_after_a_list(
    server: ScriptedServer, client: Client, before: list[dict[str, str]], after: list[dict[str, str]], expected: Told
) -> None:
    server.objects = before

    async def script(watch: Watching) -> None:
        server.objects = after
        await watch.event("ERROR", EXPIRED)

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told[len(before) :] == expected
        assert len(informer.all()) == len(after)


async def test_an_object_deleted_between_list_and_watch_goes(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1), config_map("b", 1)]

    async def script(watch: Watching) -> None:
        await watch.event("DELETED", config_map("a", 2))

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@1"), (None, "b@1"), ("a@1", None)]
        assert contents(informer) == {"b": "1"}


async def test_the_next_watch_begins_at_a_bookmark(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1)]

    async def script(watch: Watching) -> None:
        await watch.bookmark(77)

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@1")]
        assert server.asked[-1].query["resourceVersion"] == "77"
        assert server.asked[-1].query["allowWatchBookmarks"] == "true"


async def test_versions_are_not_compared_as_numbers(server: ScriptedServer, client: Client) -> None:
    server.objects, server.version = [config_map("a", "zz-9")], "zz-9"

    async def script(watch: Watching) -> None:
        await watch.event("MODIFIED", config_map("a", "b"))
        await watch.event("MODIFIED", config_map("a", "A"))

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@zz-9"), ("a@zz-9", "a@b"), ("a@b", "a@A")]
        assert [asked.query.get("resourceVersion") for asked in server.asked] == [None, "zz-9", "A"]


async def test_an_event_that_comes_twice_is_one_change(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1)]

    async def script(watch: Watching) -> None:
        await watch.event("ADDED", config_map("a", 1))
        await watch.event("MODIFIED", config_map("a", 2))
        await watch.event("MODIFIED", config_map("a", 2))
        await watch.event("DELETED", config_map("never-seen", 3))

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@1"), ("a@1", "a@2")]


async def test_a_watch_that_stays_silent_past_its_end_is_left(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1)]
    server.scripts = [stays_silent, modifies_a]
    informer, told = informer_of(client, Timing(watch_timeout_s=0.5, grace_s=0.1))  # the next watch has no more time
    async with settled(informer, server):
        assert told == [(None, "a@1"), ("a@1", "a@2")]
        assert server.lists == 1


async def test_the_server_is_asked_to_end_a_watch(server: ScriptedServer, client: Client) -> None:
    informer, _ = informer_of(client)
    async with settled(informer, server):
        assert server.asked[-1].query["timeoutSeconds"] == "290"


async def test_a_restart_of_the_server_is_survived() -> None:
    server = ScriptedServer(objects=[config_map("a", 1)])
    async with server.running():
        port = int(server.url.rpartition(":")[2])
        client = Client(ClusterAccess(server.url))
        informer, told = informer_of(client)
        await client.__aenter__()
        task = asyncio.create_task(informer.run())
        await asyncio.wait_for(server.idle.wait(), 60)
    server.scripts = [modifies_a]
    try:
        async with server.running(port):
            await asyncio.wait_for(informer.wait_for(lambda: len(told) == 2), 60)
            assert told == [(None, "a@1"), ("a@1", "a@2")]
            assert server.lists == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        await client.__aexit__(None, None, None)


async def test_a_server_that_is_away_until_tomorrow_is_asked_before(server: ScriptedServer, client: Client) -> None:
    server.scripts = [answer(503, status(503, "ServiceUnavailable"), Retry_After="86400")]
    informer, _ = informer_of(client, dataclasses.replace(QUICK, max_asked_s=0.01))
    async with settled(informer, server):
        assert server.lists == 1


async def test_an_endless_row_of_short_watches_is_slowed_down(server: ScriptedServer, client: Client) -> None:
    informer, _ = informer_of(client, Timing(first_backoff_s=0.001, max_backoff_s=0.05))
    server.scripts = [closes] * 8
    began = asyncio.get_running_loop().time()
    async with settled(informer, server):
        assert asyncio.get_running_loop().time() - began > 0.001 + 0.002 + 0.004 + 0.008 + 0.016 + 0.032


async def test_it_is_synced_only_after_the_last_page(server: ScriptedServer, client: Client) -> None:
    server.answers = [
        answer(200, {"metadata": {"resourceVersion": "1", "continue": "more"}, "items": [config_map("a", 1)]}),
        answer(200, {"metadata": {"resourceVersion": "1"}, "items": [config_map("b", 1)]}),
    ]
    informer, told = informer_of(client)
    synced: list[bool] = []
    informer.on_change(lambda old, new: synced.append(informer.synced))
    async with settled(informer, server):
        assert told == [(None, "a@1"), (None, "b@1")]
        assert synced == [False, False]
        assert informer.synced
        await informer.wait_synced()


async def test_a_list_that_expires_between_pages_leaves_no_ghosts(server: ScriptedServer, client: Client) -> None:
    server.answers = [
        answer(200, {"metadata": {"resourceVersion": "1", "continue": "more"}, "items": [config_map("ghost", 1)]}),
        answer(410, EXPIRED),
    ]
    server.objects = [config_map("a", 2)]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "ghost@1"), (None, "a@2"), ("ghost@1", None)]
        assert contents(informer) == {"a": "2"}


async def test_an_object_that_cannot_be_decoded_is_named_and_left_out(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    server.objects = [config_map("a", 1), {**config_map("odd", 1), "data": "no map"}, config_map("b", 1), {}]
    informer, _ = informer_of(client)
    async with settled(informer, server):
        assert contents(informer) == {"a": "1", "b": "1"}
    assert "configmaps default/odd is left out" in caplog.text


async def test_an_object_that_can_no_longer_be_decoded_is_gone(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    server.objects = [config_map("a", 1)]

    async def script(watch: Watching) -> None:
        await watch.event("MODIFIED", {**config_map("a", 2), "data": 5})
        await watch.event("MODIFIED", config_map("a", 3))

    server.scripts = [script]
    informer, told = informer_of(client)
    async with settled(informer, server):
        assert told == [(None, "a@1"), ("a@1", None), (None, "a@3")]
    assert "configmaps default/a is left out" in caplog.text


async def test_a_handler_that_fails_does_not_keep_a_change_from_the_others(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    server.objects = [config_map("a", 1)]
    informer = Informer(client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode)
    heard: list[str] = []

    def broken(old: ConfigMap | None, new: ConfigMap | None) -> None:
        raise RuntimeError("a bug")

    informer.on_change(broken)
    informer.on_change(lambda old, new: heard.append(new.name if new else ""))
    async with settled(informer, server):
        assert heard == ["a"]
    assert "a bug" in caplog.text


async def test_a_handler_that_comes_late_is_told_of_what_is_there(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1)]
    informer, _ = informer_of(client)
    async with settled(informer, server):
        heard: list[str] = []
        informer.on_change(lambda old, new: heard.append(new.name if new else ""))
        assert heard == ["a"]


async def test_objects_are_found_by_name_and_by_index(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map("a", 1, data="x"), config_map("b", 1, data="x")]
    informer, _ = informer_of(client)
    async with settled(informer, server):
        found = informer.get("default", "a")
        assert found is not None
        assert found.uid == "uid-a"
        assert informer.get("other", "a") is None
        assert [obj.name for obj in informer.by_index("data", "x")] == ["a", "b"]


async def test_the_log_tells_of_a_failure_once_and_of_its_end(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.answers = [answer(503, status(503, "ServiceUnavailable", "starting")) for _ in range(5)]
    server.scripts = [modifies_a]
    informer, _ = informer_of(client)
    async with settled(informer, server):
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [
        ("WARNING", "configmaps in default cannot be watched, trying again: starting"),
        ("INFO", "configmaps in default are watched again"),
    ]


async def test_a_wait_ends_with_the_change_that_makes_it_true(server: ScriptedServer, client: Client) -> None:
    go = asyncio.Event()

    async def script(watch: Watching) -> None:
        await watch.event("ADDED", config_map("other", 2))
        await go.wait()
        await watch.event("ADDED", config_map("a", 3))
        await stays_silent(watch)

    server.scripts = [script]
    informer, _ = informer_of(client)
    async with running(informer):
        waiting = asyncio.create_task(informer.wait_for(lambda: informer.get("default", "a") is not None))
        await informer.wait_for(lambda: informer.get("default", "other") is not None)
        assert not waiting.done()
        go.set()
        await waiting


async def test_a_big_list_lets_others_have_their_turn(server: ScriptedServer, client: Client) -> None:
    server.objects = [config_map(f"n{i}", 1) for i in range(1000)]
    turns, decoded_at = 0, list[int]()
    decode = msgspec.json.Decoder(ConfigMap).decode

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def counting(data: bytes) -> ConfigMap:
        decoded_at.append(turns)
        return decode(data)

    informer, _ = informer_of(client, decode=counting)
    other = asyncio.create_task(others())
    async with settled(informer, server):
        assert max(decoded_at.count(turn) for turn in set(decoded_at)) <= 50
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert len(decoded_at) == 1000


async def test_selectors_are_the_servers_work(server: ScriptedServer, client: Client) -> None:
    informer = Informer(
        client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode, namespace="", labels="a=b", fields="c=d"
    )
    async with settled(informer, server):
        for asked in server.asked:
            assert asked.path == "/api/v1/configmaps"
            assert (asked.query["labelSelector"], asked.query["fieldSelector"]) == ("a=b", "c=d")
