"""The verbs as they go over the wire, and refusals as exceptions."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from kubeai.api.k8s.resources import CONFIG_MAPS, MODELS, NODES, PODS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, BadAnswer
from tests.unit.kube.scripted import ScriptedServer, answer, config_map, status


async def test_a_list_follows_its_pages(server: ScriptedServer, client: Client) -> None:
    server.answers = [
        answer(200, {"metadata": {"continue": "m/o+r="}, "items": [config_map("a", 1)]}),
        answer(200, {"metadata": {}, "items": [config_map("b", 1)]}),
    ]
    found = await client.list(CONFIG_MAPS, labels="x in (y,z)")
    assert [obj["metadata"]["name"] for obj in found] == ["a", "b"]
    assert [asked.query for asked in server.asked] == [
        {"limit": "500", "labelSelector": "x in (y,z)"},
        {"limit": "500", "labelSelector": "x in (y,z)", "continue": "m/o+r="},
    ]


async def test_a_list_that_expires_between_pages_is_read_anew_in_one_piece(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [
        answer(200, {"metadata": {"continue": "more"}, "items": [config_map("old", 1)]}),
        answer(410, status(410, "Expired")),
    ]
    server.objects = [config_map("new", 2)]
    assert [obj["metadata"]["name"] for obj in await client.list(CONFIG_MAPS)] == ["new"]
    assert server.asked[-1].query == {}


async def test_a_list_that_is_refused_as_expired_from_the_start_is_an_error(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [answer(410, status(410, "Expired"))]
    with pytest.raises(APIError) as caught:
        await client.list(CONFIG_MAPS)
    assert caught.value.gone


async def test_null_items_are_an_empty_list(server: ScriptedServer, client: Client) -> None:
    assert await client.list(CONFIG_MAPS) == []


async def test_the_items_of_a_list_say_their_kind(server: ScriptedServer, client: Client) -> None:
    server.answers = [answer(200, {"items": [{"metadata": {"name": "a"}}]})]
    assert await client.list(CONFIG_MAPS) == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]


@pytest.mark.parametrize(
    ("type", "content_type"),
    [
        ("merge", "application/merge-patch+json"),
        ("json", "application/json-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
        ("apply", "application/apply-patch+yaml"),
    ],
)
async def test_each_type_of_patch_has_its_content_type(
    server: ScriptedServer, client: Client, type: Any, content_type: str
) -> None:
    await client.patch(MODELS, "m", {"spec": {"replicas": 1}}, subresource="scale", type=type)
    [asked] = server.asked
    assert (asked.method, asked.path) == ("PATCH", "/apis/kubeai.org/v1/namespaces/default/models/m/scale")
    assert asked.headers["Content-Type"] == content_type
    assert asked.query == {"fieldManager": "kubeai"}
    assert asked.body == {"spec": {"replicas": 1}}


async def test_an_apply_can_take_fields_over(server: ScriptedServer, client: Client) -> None:
    await client.patch(MODELS, "m", {}, type="apply", field_manager="me", force=True)
    assert server.asked[0].query == {"fieldManager": "me", "force": "true"}


async def test_a_delete_can_mean_one_object_only(server: ScriptedServer, client: Client) -> None:
    await client.delete(CONFIG_MAPS, "a", uid="u", grace_period_s=0, propagation="Background")
    assert server.asked[0].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


@pytest.mark.parametrize(
    ("namespace", "own", "path"),
    [
        pytest.param("given", "own", "/api/v1/namespaces/given/configmaps", id="the given one first"),
        pytest.param(None, "own", "/api/v1/namespaces/own/configmaps", id="then the object's own"),
        pytest.param(None, None, "/api/v1/namespaces/default/configmaps", id="then the access's"),
    ],
)
async def test_an_object_is_created_in_the_namespace(
    server: ScriptedServer, client: Client, namespace: str | None, own: str | None, path: str
) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": own}}, namespace, dry_run=True)
    [asked] = server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", path, {"dryRun": "All"})
    assert (asked.body["apiVersion"], asked.body["kind"]) == ("v1", "ConfigMap")


async def test_a_replace_goes_where_the_object_says(server: ScriptedServer, client: Client) -> None:
    await client.replace(PODS, {"metadata": {"name": "p", "namespace": "n"}, "status": {}}, subresource="status")
    assert (server.asked[0].method, server.asked[0].path) == ("PUT", "/api/v1/namespaces/n/pods/p/status")


async def test_a_resource_without_namespaces_has_none_in_its_path(server: ScriptedServer, client: Client) -> None:
    await client.get(NODES, "n")
    assert server.asked[0].path == "/api/v1/nodes/n"


async def test_a_name_is_one_part_of_the_path_whatever_it_holds(server: ScriptedServer, client: Client) -> None:
    await client.get(CONFIG_MAPS, "a?b#c d")
    assert server.asked[0].path == "/api/v1/namespaces/default/configmaps/a?b#c d"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2fb"])
async def test_a_name_that_would_be_another_path_is_refused(server: ScriptedServer, client: Client, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        await client.delete(CONFIG_MAPS, name)
    assert server.asked == []


@pytest.mark.parametrize(
    ("code", "reason", "holds"),
    [
        (404, "NotFound", "not_found"),
        (409, "AlreadyExists", "already_exists"),
        (409, "Conflict", "conflict"),
        (410, "Expired", "gone"),
        (422, "Invalid", "invalid"),
        (403, "Forbidden", "forbidden"),
        (401, "Unauthorized", "unauthorized"),
        (500, "InternalError", "transient"),
        (429, "TooManyRequests", "transient"),
    ],
)
async def test_a_refusal_says_of_what_sort_it_is(
    server: ScriptedServer, client: Client, code: int, reason: str, holds: str
) -> None:
    server.answers = [answer(code, status(code, reason, "because"))]
    with pytest.raises(APIError, match="because") as caught:
        await client.get(CONFIG_MAPS, "a")
    sorts = ["not_found", "already_exists", "conflict", "gone", "invalid", "forbidden", "unauthorized", "transient"]
    assert [sort for sort in sorts if getattr(caught.value, sort)] == [holds]
    assert (caught.value.status, caught.value.reason) == (code, reason)


async def test_a_refusal_of_a_proxy_in_between_is_told_as_it_is(server: ScriptedServer, client: Client) -> None:
    server.answers = [web.Response(status=502, text="<h1>no upstream</h1>")]
    with pytest.raises(APIError, match="HTTP 502: <h1>no upstream") as caught:
        await client.get(CONFIG_MAPS, "a")
    assert caught.value.transient


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"message": "no", "details": [{"@type": "DebugInfo"}]}, id="a list of details"),
        pytest.param({"message": "no", "details": "none"}, id="a text"),
        pytest.param({"message": "no", "details": {"retryAfterSeconds": "soon"}}, id="a time that is none"),
    ],
)
async def test_a_refusal_in_json_of_another_kind_is_a_refusal(
    server: ScriptedServer, client: Client, body: dict[str, object]
) -> None:
    server.answers = [answer(502, body)]
    with pytest.raises(APIError, match="no") as caught:
        await client.get(CONFIG_MAPS, "a")
    assert (caught.value.status, caught.value.details.get("causes"), caught.value.retry_after_s) == (502, None, None)


async def test_what_a_status_says_in_detail_is_kept(server: ScriptedServer, client: Client) -> None:
    details = {"name": "a", "retryAfterSeconds": 3}
    server.answers = [answer(409, {**status(409, "Conflict"), "details": details})]
    with pytest.raises(APIError) as caught:
        await client.get(CONFIG_MAPS, "a")
    assert (caught.value.details, caught.value.retry_after_s) == (details, 3)


async def test_an_answer_that_is_no_json_is_an_error(server: ScriptedServer, client: Client) -> None:
    server.answers = [web.Response(text="<html>a login page</html>")]
    with pytest.raises(BadAnswer, match="no JSON object"):
        await client.get(CONFIG_MAPS, "a")


async def test_anything_can_be_asked_that_has_no_verb(server: ScriptedServer, client: Client) -> None:
    server.answers = [answer(200, {"major": "1"})]
    assert await client.raw("GET", "/version") == {"major": "1"}


async def test_a_log_comes_in_chunks_while_it_is_written(client: Client, server: ScriptedServer) -> None:
    more = asyncio.Event()

    class Log(web.StreamResponse):
        async def prepare(self, request: web.BaseRequest) -> Any:
            writer = await super().prepare(request)
            await self.write(b"one\n")
            await more.wait()
            await self.write(b"two\n")
            return writer

    server.answers = [Log()]
    async with aclosing(client.logs("p", container="c", follow=True, tail_lines=0, previous=True)) as log:
        assert await anext(log) == b"one\n"
        more.set()
        assert await anext(log) == b"two\n"
    assert server.asked[0].path == "/api/v1/namespaces/default/pods/p/log"
    assert server.asked[0].query == {"container": "c", "follow": "true", "tailLines": "0", "previous": "true"}


async def test_a_log_that_there_is_not_is_an_error(server: ScriptedServer, client: Client) -> None:
    server.answers = [answer(404, status(404, "NotFound", "no such pod"))]
    with pytest.raises(APIError, match="no such pod"):
        await anext(client.logs("p"))
