"""Creating, changing and deleting objects through our own client."""

from __future__ import annotations

from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, MODELS, PODS, SECRETS, Resource
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from tests.builders import config_map, model_manifest, pod_manifest


async def test_a_create_marks_the_object(client: Client) -> None:
    made = await client.create(MODELS, model_manifest("a", metadata={"uid": "mine", "generation": 9}))
    metadata = made["metadata"]
    assert metadata["uid"] not in ("", "mine")
    assert metadata["generation"] == 1
    assert metadata["namespace"] == client.namespace
    assert metadata["creationTimestamp"].endswith("Z")
    assert int(metadata["resourceVersion"]) > 0
    assert await client.get(MODELS, "a") == made


async def test_a_create_ignores_status(client: Client) -> None:
    made = await client.create(MODELS, model_manifest() | {"status": {"replicas": {"all": 7, "ready": 7}}})
    assert "status" not in made


async def test_a_generated_name_begins_as_asked(client: Client) -> None:
    body = config_map(metadata={"name": "", "generateName": "run-"})
    names = {(await client.create(CONFIG_MAPS, body))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("run-") and len(name) == len("run-") + 5 for name in names)


async def test_a_dry_run_stores_nothing(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("dry"), dry_run=True)
    assert made["metadata"]["uid"]
    assert await client.list(CONFIG_MAPS, fields="metadata.name=dry") == []


@pytest.mark.parametrize(
    ("resource", "body", "status", "reason", "words"),
    [
        pytest.param(CONFIG_MAPS, config_map("Not_A_Name"), 422, "Invalid", "metadata.name", id="a bad name"),
        pytest.param(
            CONFIG_MAPS,
            config_map(metadata={"labels": {"a b": "c"}}),
            422,
            "Invalid",
            "metadata.labels",
            id="a bad label",
        ),
        pytest.param(
            CONFIG_MAPS,
            config_map(metadata={"namespace": "other"}),
            400,
            "BadRequest",
            "namespace",
            id="another namespace",
        ),
        pytest.param(PODS, config_map(), 400, "BadRequest", "ConfigMap", id="another kind than the path's"),
        pytest.param(MODELS, model_manifest(engine="Magic"), 422, "Invalid", "spec.engine", id="not in the enum"),
        pytest.param(
            MODELS, model_manifest(minReplicas=-1), 422, "Invalid", "spec.minReplicas", id="below the minimum"
        ),
        pytest.param(MODELS, model_manifest(maxReplicas="x"), 422, "Invalid", "spec.maxReplicas", id="of a wrong type"),
        pytest.param(
            MODELS,
            model_manifest(minReplicas=3, maxReplicas=2),
            422,
            "Invalid",
            "maxReplicas",
            id="against a rule in CEL",
        ),
        pytest.param(
            PODS, pod_manifest(containers=[]), 422, "Invalid", "spec.containers", id="a Pod without containers"
        ),
    ],
)
async def test_a_create_is_refused(
    client: Client, resource: Resource, body: dict[str, Any], status: int, reason: str, words: str
) -> None:
    with pytest.raises(APIError) as refusal:
        await client.create(resource, body, client.namespace)
    assert (refusal.value.status, refusal.value.reason) == (status, reason)
    assert words in refusal.value.message


async def test_a_second_create_is_refused(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map())
    with pytest.raises(APIError) as refusal:
        await client.create(CONFIG_MAPS, config_map())
    assert refusal.value.already_exists
    assert refusal.value.message == 'configmaps "c" already exists'


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(APIError) as refusal:
        await client.get(MODELS, "missing")
    assert refusal.value.not_found
    assert refusal.value.message == 'models.kubeai.org "missing" not found'


async def test_defaults_are_filled_in(client: Client) -> None:
    spec = (await client.create(MODELS, model_manifest()))["spec"]
    assert (spec["targetRequests"], spec["scaleDownDelaySeconds"]) == (100, 30)
    assert spec["loadBalancing"]["prefixHash"]["meanLoadFactor"] == 125


async def test_unknown_fields_are_dropped(client: Client) -> None:
    assert "colour" not in (await client.create(MODELS, model_manifest(colour="red")))["spec"]


async def test_a_replacement_of_an_old_version_is_a_conflict(client: Client) -> None:
    first = await client.create(MODELS, model_manifest())
    await client.patch(MODELS, "m", {"spec": {"targetRequests": 5}})
    first["spec"]["targetRequests"] = 7
    with pytest.raises(APIError) as refusal:
        await client.replace(MODELS, first)
    assert refusal.value.conflict
    assert (await client.get(MODELS, "m"))["spec"]["targetRequests"] == 5


async def test_a_replacement_needs_a_version_for_custom_resources_only(client: Client) -> None:
    model = await client.create(MODELS, model_manifest())
    await client.create(CONFIG_MAPS, config_map(a="1"))
    del model["metadata"]["resourceVersion"]
    with pytest.raises(APIError) as refusal:
        await client.replace(MODELS, model)
    assert "metadata.resourceVersion" in refusal.value.message
    replaced = await client.replace(CONFIG_MAPS, config_map(metadata={"namespace": client.namespace}, a="2"))
    assert replaced["data"] == {"a": "2"}


async def test_only_a_change_of_the_spec_begins_a_new_generation(client: Client) -> None:
    async def generation() -> int:
        return int((await client.get(MODELS, "m"))["metadata"]["generation"])

    await client.create(MODELS, model_manifest())
    await client.patch(MODELS, "m", {"metadata": {"labels": {"a": "b"}}})
    await client.patch(MODELS, "m", {"status": {"replicas": {"all": 1, "ready": 1}}}, subresource="status")
    assert await generation() == 1
    await client.patch(MODELS, "m", {"spec": {"targetRequests": 5}})
    assert await generation() == 2


async def test_a_change_that_changes_nothing_makes_no_version(client: Client) -> None:
    made = await client.create(MODELS, model_manifest(targetRequests=5))
    again = await client.patch(MODELS, "m", {"spec": {"targetRequests": 5}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_each_door_changes_only_what_is_behind_it(client: Client) -> None:
    await client.create(MODELS, model_manifest())
    both = {"spec": {"targetRequests": 5}, "status": {"replicas": {"all": 3, "ready": 0}}}
    await client.patch(MODELS, "m", both, subresource="status")
    after_status = await client.get(MODELS, "m")
    assert (after_status["spec"]["targetRequests"], after_status["status"]["replicas"]["all"]) == (100, 3)
    await client.patch(MODELS, "m", {"spec": {"targetRequests": 6}, "status": {"replicas": {"all": 4, "ready": 0}}})
    after_spec = await client.get(MODELS, "m")
    assert (after_spec["spec"]["targetRequests"], after_spec["status"]["replicas"]["all"]) == (6, 3)


async def test_the_scale_subresource_turns_replicas(client: Client) -> None:
    await client.create(MODELS, model_manifest())
    await client.patch(MODELS, "m", {"status": {"replicas": {"all": 1, "ready": 0}}}, subresource="status")
    scale = await client.patch(MODELS, "m", {"spec": {"replicas": 4}}, subresource="scale")
    assert (scale["kind"], scale["spec"], scale["status"]["replicas"]) == ("Scale", {"replicas": 4}, 1)
    model = await client.get(MODELS, "m")
    assert (model["spec"]["replicas"], model["metadata"]["generation"]) == (4, 2)
    assert (await client.get(MODELS, "m", subresource="scale"))["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("type", "patch"),
    [
        pytest.param("merge", {"data": {"b": "2", "a": None}}, id="a merge patch"),
        pytest.param("strategic", {"data": {"b": "2", "a": None}}, id="a strategic merge patch"),
        pytest.param(
            "json",
            [
                {"op": "test", "path": "/data/a", "value": "1"},
                {"op": "remove", "path": "/data/a"},
                {"op": "add", "path": "/data/b", "value": "2"},
            ],
            id="a JSON patch",
        ),
    ],
)
async def test_a_patch_changes_a_part(client: Client, type: Any, patch: Any) -> None:
    await client.create(CONFIG_MAPS, config_map(a="1", c="3"))
    assert (await client.patch(CONFIG_MAPS, "c", patch, type=type))["data"] == {"b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("resource", "type", "patch", "status"),
    [
        pytest.param(MODELS, "strategic", {"spec": {}}, 415, id="a strategic merge patch of a custom resource"),
        pytest.param(
            MODELS, "json", [{"op": "test", "path": "/spec/engine", "value": "x"}], 422, id="a test that fails"
        ),
        pytest.param(MODELS, "json", [{"op": "remove", "path": "/spec/none"}], 422, id="a path that is not there"),
        pytest.param(MODELS, "merge", {"spec": {"engine": "Magic"}}, 422, id="a result that is not valid"),
        pytest.param(MODELS, "merge", {"metadata": {"resourceVersion": "1"}}, 409, id="an old version"),
        pytest.param(MODELS, "merge", {"metadata": {"name": "other"}}, 400, id="another name"),
    ],
)
async def test_a_patch_is_refused(client: Client, resource: Resource, type: Any, patch: Any, status: int) -> None:
    await client.create(MODELS, model_manifest())
    with pytest.raises(APIError) as refusal:
        await client.patch(resource, "m", patch, type=type)
    assert refusal.value.status == status


async def test_lists_of_named_things_merge_by_name(client: Client) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    body = pod_manifest(containers=[{"name": "server", "image": "local/echo", "env": env}])
    await client.create(PODS, body)
    patch = {"spec": {"containers": [{"name": "server", "image": "local/other"}]}}
    container = (await client.patch(PODS, "p", patch, type="strategic"))["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("local/other", env)


async def test_a_rule_may_compare_with_the_old_object(client: Client) -> None:
    await client.create(MODELS, model_manifest(cacheProfile="fast"))
    with pytest.raises(APIError) as refusal:
        await client.patch(MODELS, "m", {"spec": {"cacheProfile": "slow"}})
    assert "spec.cacheProfile" in refusal.value.message


async def test_a_delete_for_another_uid_is_refused(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map())
    with pytest.raises(APIError) as refusal:
        await client.delete(CONFIG_MAPS, "c", uid="another")
    assert refusal.value.conflict
    await client.delete(CONFIG_MAPS, "c", uid=made["metadata"]["uid"])
    assert await client.list(CONFIG_MAPS, fields="metadata.name=c") == []


async def test_a_finalizer_holds_an_object_back(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map(metadata={"finalizers": ["test.dev/hold"]}))
    deleted = await client.delete(CONFIG_MAPS, "c")
    assert deleted["metadata"]["deletionTimestamp"]
    with pytest.raises(APIError) as refusal:
        await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": ["test.dev/hold", "test.dev/late"]}})
    assert "no new finalizers" in refusal.value.message
    await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}})
    assert await client.list(CONFIG_MAPS, fields="metadata.name=c") == []


async def test_a_secret_takes_plain_text(client: Client) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"token": "hf_x"}}
    made = await client.create(SECRETS, body)
    assert (made["type"], made["data"], "stringData" in made) == ("Opaque", {"token": "aGZfeA=="}, False)


async def test_a_frozen_config_map_stays_as_it_is(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map(a="1") | {"immutable": True})
    for patch in ({"data": {"a": "2"}}, {"immutable": False}):
        with pytest.raises(APIError) as refusal:
            await client.patch(CONFIG_MAPS, "c", patch)
        assert refusal.value.invalid


async def test_pods_get_the_defaults_that_others_rely_on(client: Client) -> None:
    probe = {"httpGet": {"port": "http"}}
    containers = [{"name": "server", "image": "local/echo", "readinessProbe": probe}]
    pod = await client.create(PODS, pod_manifest(containers=containers))
    spec = pod["spec"]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 30)
    assert pod["status"]["phase"] == "Pending"
    probe = spec["containers"][0]["readinessProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"], probe["httpGet"]["path"]) == (10, 3, "/")


async def test_the_spec_of_a_pod_is_fixed(client: Client) -> None:
    await client.create(PODS, pod_manifest())
    with pytest.raises(APIError) as refusal:
        await client.patch(PODS, "p", {"spec": {"restartPolicy": "Never"}})
    assert "pod updates may not change fields" in refusal.value.message
    changed = await client.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}})
    assert changed["metadata"]["labels"] == {"a": "b"}


async def test_a_pod_that_no_node_has_goes_at_once(client: Client) -> None:
    await client.create(PODS, pod_manifest())
    await client.delete(PODS, "p")
    assert await client.list(PODS) == []


async def test_a_pod_that_a_node_has_is_given_time(client: Client) -> None:
    await client.create(PODS, pod_manifest(nodeName="somewhere", terminationGracePeriodSeconds=7))
    deleted = await client.delete(PODS, "p")
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 7
    hurried = await client.delete(PODS, "p", grace_period_s=2)
    assert hurried["metadata"]["deletionGracePeriodSeconds"] == 2
    await client.delete(PODS, "p", grace_period_s=0)
    assert await client.list(PODS) == []


async def test_a_namespace_has_to_be_there(client: Client) -> None:
    with pytest.raises(APIError) as refusal:
        await client.create(CONFIG_MAPS, config_map(), "nowhere")
    assert refusal.value.message == 'namespaces "nowhere" not found'


async def test_a_patch_can_be_meant_for_one_object_and_no_later_one_of_its_name(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map())
    labels = {"adapter.kubeai.org/a": "v1"}
    patched = await client.patch(CONFIG_MAPS, "c", {"metadata": {"uid": made["metadata"]["uid"], "labels": labels}})
    assert patched["metadata"]["labels"] == labels
    with pytest.raises(APIError, match=r'metadata.uid: Invalid value: "another": field is immutable') as refusal:
        await client.patch(CONFIG_MAPS, "c", {"metadata": {"uid": "another", "labels": {"b": "c"}}})
    assert refusal.value.status == 422
    assert (await client.get(CONFIG_MAPS, "c"))["metadata"]["labels"] == labels
