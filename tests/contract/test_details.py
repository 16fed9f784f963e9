"""What clients trip over when one server says it and another does not: each case was a difference once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, JOBS, LEASES, MODELS, PODS, Resource
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import config_map, job_manifest, model_manifest, pod_manifest


def _lease(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "l"}, "spec": spec}


def _container(**fields: Any) -> dict[str, Any]:
    return pod_manifest(containers=[{"name": "server", "image": "local/echo"} | fields])


_JOB_OF_NO_POLICY = job_manifest()
del _JOB_OF_NO_POLICY["spec"]["template"]["spec"]["restartPolicy"]


async def test_a_model_without_replicas_has_no_scale(client: Client) -> None:
    await client.create(MODELS, model_manifest())
    with pytest.raises(APIError) as refusal:
        await client.get(MODELS, "m", subresource="scale")
    assert (refusal.value.status, refusal.value.reason) == (500, "InternalError")
    assert 'the spec replicas field ".spec.replicas" does not exist' in refusal.value.message
    scale = await client.patch(MODELS, "m", {"spec": {"replicas": 1}}, subresource="scale")
    assert scale["spec"] == {"replicas": 1}


async def test_a_scale_of_zero_says_nothing_of_replicas(client: Client) -> None:
    await client.create(MODELS, model_manifest(replicas=0))
    assert (await client.get(MODELS, "m", subresource="scale"))["spec"] == {}


async def test_who_scaled_is_told_to_who_applies(client: Client) -> None:
    await client.patch(MODELS, "m", model_manifest(replicas=1), type="apply", field_manager="me")
    await client.patch(MODELS, "m", {"spec": {"replicas": 3}}, subresource="scale", field_manager="hpa")
    with pytest.raises(APIError) as refusal:
        await client.patch(MODELS, "m", model_manifest(replicas=1), type="apply", field_manager="me")
    assert 'conflict with "hpa" with subresource "scale" using kubeai.org/v1: .spec.replicas' in refusal.value.message


async def test_a_conflict_about_an_item_names_it(client: Client) -> None:
    def model(url: str) -> dict[str, Any]:
        return model_manifest(adapters=[{"name": "a", "url": url}])

    await client.patch(MODELS, "m", model("hf://x/y"), type="apply", field_manager="one")
    with pytest.raises(APIError) as refusal:
        await client.patch(MODELS, "m", model("hf://x/z"), type="apply", field_manager="two")
    assert 'conflict with "one": .spec.adapters[name="a"].url' in refusal.value.message


@pytest.mark.parametrize(
    ("params", "change", "status", "words"),
    [
        pytest.param({}, {}, 422, "fieldManager: Required value", id="by nobody"),
        pytest.param({"fieldManager": "me"}, {"apiVersion": None}, 400, "invalid object type", id="of no version"),
        pytest.param({"fieldManager": "me"}, {"kind": "Secret"}, 400, "invalid object type", id="of another kind"),
        pytest.param(
            {"fieldManager": "me"},
            {"metadata": {"name": "d"}},
            400,
            "does not match the name on the URL",
            id="of another name",
        ),
        pytest.param(
            {"fieldManager": "me"},
            {"metadata": {"name": "c", "managedFields": [{"manager": "x"}]}},
            400,
            "metadata.managedFields must be nil",
            id="with owners",
        ),
    ],
)
async def test_an_apply_is_refused(
    client: Client, params: dict[str, str], change: dict[str, Any], status: int, words: str
) -> None:
    body = {key: value for key, value in (config_map() | change).items() if value is not None}
    with pytest.raises(APIError) as refusal:
        await client.transport.request(
            "PATCH",
            CONFIG_MAPS.path(client.namespace, "c"),
            params=params,
            body=body,
            content_type="application/apply-patch+yaml",
        )
    assert (refusal.value.status, words in refusal.value.message) == (status, True), refusal.value.message


@pytest.mark.parametrize(
    ("resource", "body", "status", "words"),
    [
        pytest.param(PODS, pod_manifest(restartPolicy=3), 400, "cannot be handled as a Pod", id="a number for a text"),
        pytest.param(
            CONFIG_MAPS, config_map() | {"data": []}, 400, "cannot be handled as a ConfigMap", id="a list for a map"
        ),
        pytest.param(
            MODELS,
            model_manifest(metadata={"labels": {"a": 1}}),
            400,
            "cannot be handled as a Model",
            id="a label's number",
        ),
        pytest.param(LEASES, _lease(renewTime="2026-01-01T00:00:00Z"), 400, "cannot be handled", id="whole seconds"),
        pytest.param(LEASES, _lease(leaseDurationSeconds=0), 422, "must be greater than 0", id="a lease of no time"),
        pytest.param(
            PODS, _container(env=[{"name": ""}]), 422, "env[0].name: Required value", id="a nameless variable"
        ),
        pytest.param(
            PODS, _container(imagePullPolicy="Perhaps"), 422, "imagePullPolicy: Unsupported value", id="no policy"
        ),
        pytest.param(CONFIG_MAPS, config_map() | {"data": {"a b": "c"}}, 422, "data[a b]", id="a key with a space"),
        pytest.param(
            JOBS,
            _JOB_OF_NO_POLICY,
            422,
            "spec.template.spec.restartPolicy: Required value",
            id="no restart policy",
        ),
    ],
)
async def test_a_create_is_refused(
    client: Client, resource: Resource, body: dict[str, Any], status: int, words: str
) -> None:
    with pytest.raises(APIError) as refusal:
        await client.create(resource, body)
    assert (refusal.value.status, words in refusal.value.message) == (status, True), refusal.value.message


async def test_a_lease_takes_what_leaders_write(client: Client) -> None:
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000001Z"}
    assert (await client.create(LEASES, _lease(**spec)))["spec"] == spec


async def test_strictness_names_the_kind(client: Client) -> None:
    params, body = {"fieldValidation": "Strict"}, model_manifest(colour="red")
    with pytest.raises(APIError) as refusal:
        await client.transport.request("POST", MODELS.path(client.namespace), params=params, body=body)
    message = 'Model in version "v1" cannot be handled as a Model: strict decoding error: unknown field "spec.colour"'
    assert refusal.value.message == message


async def test_items_of_a_list_are_of_the_lists_kind(client: Client) -> None:
    # Built-in kinds do not say it again for each item; custom resources do.
    await client.create(CONFIG_MAPS, config_map())
    await client.create(MODELS, model_manifest())
    for resource, said in ((CONFIG_MAPS, False), (MODELS, True)):
        answer = msgspec.json.decode(await client.transport.request("GET", resource.path(client.namespace)))
        assert answer["kind"] == f"{resource.kind}List"
        assert ["kind" in item or "apiVersion" in item for item in answer["items"]] == [said]


async def test_who_lets_go_last_is_shown_what_is_left(client: Client) -> None:
    await client.create(MODELS, model_manifest(metadata={"finalizers": ["test.dev/hold"]}))
    await client.delete(MODELS, "m")
    left = await client.patch(MODELS, "m", {"metadata": {"finalizers": None}})
    assert "finalizers" not in left["metadata"]


async def test_a_pods_address_is_one_of_its_addresses(client: Client) -> None:
    await client.create(PODS, pod_manifest())
    pod = await client.patch(PODS, "p", {"status": {"podIP": "10.0.0.1"}}, subresource="status")
    assert pod["status"]["podIPs"] == [{"ip": "10.0.0.1"}]
    with pytest.raises(APIError) as refusal:
        await client.patch(PODS, "p", {"status": {"podIP": "nowhere", "podIPs": None}}, subresource="status")
    assert "status.podIPs[0]: Invalid value" in refusal.value.message


async def test_the_grace_of_a_pod_is_fixed(client: Client) -> None:
    await client.create(PODS, pod_manifest())
    with pytest.raises(APIError) as refusal:
        await client.patch(PODS, "p", {"spec": {"terminationGracePeriodSeconds": 5}})
    assert "pod updates may not change fields" in refusal.value.message


async def test_hooks_and_fields_have_defaults(client: Client) -> None:
    hook = {"preStop": {"httpGet": {"port": 80}}}
    item = {"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}
    body = _container(lifecycle=hook)
    body["spec"]["volumes"] = [{"name": "v", "downwardAPI": {"items": [item]}}]
    spec = (await client.create(PODS, body))["spec"]
    assert spec["containers"][0]["lifecycle"]["preStop"]["httpGet"] == {"path": "/", "port": 80, "scheme": "HTTP"}
    assert spec["volumes"][0]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"


async def test_a_job_and_its_pods_carry_the_same_labels(client: Client) -> None:
    job = await client.create(JOBS, job_manifest(suspend=True))
    assert job["metadata"]["labels"].items() >= job["spec"]["template"]["metadata"]["labels"].items()
    assert job["metadata"]["labels"]["job-name"] == "j"
    assert job["spec"]["manualSelector"] is False
    assert "enableServiceLinks" not in job["spec"]["template"]["spec"]
