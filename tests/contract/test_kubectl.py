"""The real kubectl against the server: what people and scripts will do to it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, EVENTS, JOBS, MODELS, PODS
from kubeai.embedded.apiserver import APIServer
from kubeai.kube.client import Client
from tests.builders import config_map, job_manifest, model_manifest, pod_manifest

from .kubectl import Kubectl
from .watch import OpenWatch

MODEL = model_manifest("smol", url="hf://org/smol", targetRequests=50)


@pytest.fixture
def editor(tmp_path: Path) -> str:
    """An editor that asks for 77 requests instead of 50."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        "p = pathlib.Path(sys.argv[1])\n"
        "p.write_text(p.read_text().replace('targetRequests: 50', 'targetRequests: 77'))\n"
    )
    return f"{sys.executable} {script}"


async def test_a_table_of_models(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    header, row = (await kubectl("get", "models")).lines
    assert header[0] == "NAME"
    assert header[-1] == "AGE"
    assert row[0] == "smol"
    assert "VLLM" in row
    (short,) = (await kubectl("get", "mdl", "smol", "--no-headers")).lines
    assert short[:-1] == row[:-1]  # all but the age, which goes on


async def test_a_table_of_pods(kubectl: Kubectl, client: Client) -> None:
    await client.create(PODS, pod_manifest(metadata={"labels": {"app": "x"}}))
    header, row = (await kubectl("get", "pods", "-o", "wide", "-l", "app=x")).lines
    assert header[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row[:4] == ["p", "0/1", "Pending", "0"]


@pytest.mark.parametrize(
    ("resource", "columns"),
    [
        ("jobs", "NAME STATUS COMPLETIONS DURATION AGE"),
        ("namespaces", "NAME STATUS AGE"),
        ("configmaps", "NAME DATA AGE"),
        ("events", "LAST SEEN TYPE REASON OBJECT MESSAGE"),
        ("crds", "NAME CREATED AT"),
        ("leases", "NAME HOLDER AGE"),
    ],
)
async def test_tables_look_as_ever(kubectl: Kubectl, client: Client, resource: str, columns: str) -> None:
    await client.create(JOBS, job_manifest())
    involved = {"kind": "Model", "name": "m", "namespace": client.namespace}
    await client.create(EVENTS, {"metadata": {"name": "e"}, "involvedObject": involved, "reason": "Tested"})
    await client.transport.request(
        "POST",
        f"/apis/coordination.k8s.io/v1/namespaces/{client.namespace}/leases",
        body={"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}},
    )
    await client.transport.request(
        "POST", f"/api/v1/namespaces/{client.namespace}/configmaps", body=config_map("c", a="1")
    )
    assert " ".join((await kubectl("get", resource)).lines[0]) == columns


async def test_get_all_shows_the_category(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    await client.create(PODS, pod_manifest())
    out = (await kubectl("get", "all", "-o", "name")).out.split()
    assert {"pod/p", "model.kubeai.org/smol"} <= set(out)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("-o", "name"), "model.kubeai.org/smol\n"),
        (("-o", "jsonpath={.spec.url}"), "hf://org/smol"),
        (("-o", "custom-columns=T:.spec.targetRequests"), "T\n50\n"),
        (("-o", "go-template={{.metadata.name}}"), "smol"),
    ],
)
async def test_other_outputs(kubectl: Kubectl, client: Client, args: tuple[str, ...], expected: str) -> None:
    await client.create(MODELS, MODEL)
    assert (await kubectl("get", "model", "smol", *args)).out == expected


async def test_objects_as_yaml_and_json(kubectl: Kubectl, client: Client) -> None:
    made = await client.create(MODELS, MODEL)
    assert (await kubectl("get", "model", "smol", "-o", "json", "--show-managed-fields")).object == made
    assert "url: hf://org/smol" in (await kubectl("get", "model", "smol", "-o", "yaml")).out


async def test_describe_shows_object_and_events(kubectl: Kubectl, client: Client) -> None:
    model = await client.create(MODELS, MODEL)
    involved = {"kind": "Model", "apiVersion": "kubeai.org/v1", "name": "smol", "namespace": client.namespace}
    involved["uid"] = model["metadata"]["uid"]
    event = {"metadata": {"name": "e"}, "involvedObject": involved, "type": "Warning", "reason": "NoProfile"}
    await client.create(EVENTS, event | {"message": "there is no profile"})
    out = (await kubectl("describe", "model", "smol")).out
    assert "hf://org/smol" in out
    assert "NoProfile" in out
    assert "there is no profile" in out


async def test_describe_of_pods_and_jobs(kubectl: Kubectl, client: Client) -> None:
    await client.create(PODS, pod_manifest())
    await client.create(JOBS, job_manifest())
    assert "Image:" in (await kubectl("describe", "pod", "p")).out
    assert "Parallelism:      1" in (await kubectl("describe", "job", "j")).out


async def test_apply_creates_configures_and_leaves_alone(kubectl: Kubectl) -> None:
    before = model_manifest("smol", targetRequests=50, minReplicas=1)
    after = model_manifest("smol", targetRequests=60)
    said = [(await kubectl("apply", "-f", "-", given=model)).out.split()[-1] for model in (before, after, after)]
    assert said == ["created", "configured", "unchanged"]
    spec: Any = (await kubectl("get", "model", "smol", "-o", "json")).object["spec"]
    assert spec["targetRequests"] == 60
    assert spec.get("minReplicas") != 1


async def test_apply_merges_built_in_kinds_by_name(kubectl: Kubectl, client: Client) -> None:
    await kubectl("apply", "-f", "-", given=pod_manifest())
    helper = {"name": "helper", "image": "local/echo"}
    await client.delete(PODS, "p")
    await kubectl("apply", "-f", "-", given=pod_manifest(containers=[{"name": "server", "image": "a:1"}, helper]))
    changed = pod_manifest(containers=[{"name": "server", "image": "a:2"}, helper])
    assert (await kubectl("apply", "-f", "-", given=changed)).out == "pod/p configured\n"
    containers = (await client.get(PODS, "p"))["spec"]["containers"]
    assert [c["image"] for c in containers] == ["a:2", "local/echo"]


async def test_server_side_apply(kubectl: Kubectl) -> None:
    args = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in (await kubectl(*args, given=MODEL)).out
    other = model_manifest("smol", url="hf://org/smol", targetRequests=60)
    refused = await kubectl.run(*args, "--field-manager=other", given=other)
    assert refused.code == 1
    assert ".spec.targetRequests" in refused.err
    await kubectl(*args, "--field-manager=other", "--force-conflicts", given=other)


async def test_from_client_side_to_server_side_apply(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=MODEL)
    changed = model_manifest("smol", url="hf://org/smol", targetRequests=60)
    await kubectl("apply", "--server-side", "-f", "-", given=changed)


async def test_edit(kubectl: Kubectl, client: Client, editor: str) -> None:
    await client.create(MODELS, MODEL)
    await kubectl("edit", "model", "smol", editor=editor)
    assert (await client.get(MODELS, "smol"))["spec"]["targetRequests"] == 77


@pytest.mark.parametrize(
    ("type", "patch"),
    [
        ("merge", '{"spec":{"targetRequests":7}}'),
        ("json", '[{"op":"replace","path":"/spec/targetRequests","value":7}]'),
    ],
)
async def test_patch_of_a_model(kubectl: Kubectl, client: Client, type: str, patch: str) -> None:
    await client.create(MODELS, MODEL)
    await kubectl("patch", "model", "smol", "--type", type, "-p", patch)
    assert (await client.get(MODELS, "smol"))["spec"]["targetRequests"] == 7


async def test_strategic_patch_of_a_pod(kubectl: Kubectl, client: Client) -> None:
    await client.create(PODS, pod_manifest())
    await kubectl("patch", "pod", "p", "-p", '{"spec":{"containers":[{"name":"server","image":"a:2"}]}}')
    assert (await client.get(PODS, "p"))["spec"]["containers"][0]["image"] == "a:2"


async def test_set_image(kubectl: Kubectl, client: Client) -> None:
    await client.create(PODS, pod_manifest())
    await kubectl("set", "image", "pod/p", "server=a:3")
    assert (await client.get(PODS, "p"))["spec"]["containers"][0]["image"] == "a:3"


async def test_scale(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    await kubectl("scale", "model", "smol", "--replicas=3")
    assert (await client.get(MODELS, "smol"))["spec"]["replicas"] == 3


async def test_label_and_annotate(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    await kubectl("label", "model", "smol", "tier=a")
    await kubectl("annotate", "model", "smol", "note=hello world")
    await kubectl("label", "model", "smol", "tier=b", "--overwrite")
    metadata = (await client.get(MODELS, "smol"))["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"tier": "b"}, {"note": "hello world"})


async def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl, client: Client, watch: OpenWatch) -> None:
    await client.create(CONFIG_MAPS, config_map(metadata={"finalizers": ["test.dev/hold"]}))
    async with watch(fieldSelector="metadata.name=c") as events:
        deleting = await kubectl.start("delete", "configmap", "c")
        assert await events.named(2) == [("ADDED", "c"), ("MODIFIED", "c")]
        assert deleting.returncode is None
        await client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}})
        assert (await deleting.wait(), await events.named(1)) == (0, [("DELETED", "c")])


async def test_wait_for_a_condition(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    waiting = await kubectl.start("wait", "model/smol", "--for=condition=Ready", "--timeout=60s")
    condition = {"type": "Ready", "status": "True", "reason": "Tested", "message": "it is"}
    condition["lastTransitionTime"] = "2026-01-02T03:04:05Z"
    status = {"replicas": {"all": 1, "ready": 1}, "conditions": [condition]}
    await client.patch(MODELS, "smol", {"status": status}, subresource="status")
    assert await waiting.wait() == 0


async def test_wait_for_a_value(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    args = ("wait", "model/smol", "--for=jsonpath={.spec.replicas}=2", "--timeout=60s")
    waiting = await kubectl.start(*args)
    await client.patch(MODELS, "smol", {"spec": {"replicas": 2}}, subresource="scale")
    assert await waiting.wait() == 0


async def test_get_watch_shows_changes(kubectl: Kubectl, client: Client) -> None:
    await client.create(PODS, pod_manifest())
    watching = await kubectl.start("get", "pods", "-w")
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(60):
            lines = [await watching.stdout.readline(), await watching.stdout.readline()]
            await client.patch(PODS, "p", {"status": {"phase": "Running"}}, subresource="status")
            lines.append(await watching.stdout.readline())
    finally:
        watching.terminate()
        await watching.wait()
    assert [line.split()[2] for line in lines] == [b"STATUS", b"Pending", b"Running"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("model", ["KIND:       Model", "machine-learning model", "spec"]),
        ("model.spec.loadBalancing", ["FIELD: loadBalancing", "prefixHash", "LeastLoad"]),
        ("pod.spec.containers.readinessProbe", ["periodSeconds", "httpGet"]),
        ("job.spec", ["backoffLimit", "template"]),
    ],
)
async def test_explain(kubectl: Kubectl, path: str, words: list[str]) -> None:
    out = (await kubectl("explain", path)).out
    assert all(word in out for word in words), out


async def test_api_resources(kubectl: Kubectl) -> None:
    rows = {row[0]: row for row in (await kubectl("api-resources", "--no-headers")).lines}
    assert rows["models"][1:] == ["mdl", "kubeai.org/v1", "true", "Model"]
    assert rows["pods"][1:] == ["po", "v1", "true", "Pod"]


async def test_a_typing_error_is_refused(kubectl: Kubectl) -> None:
    refused = await kubectl.run("apply", "-f", "-", given=model_manifest(targetRequest=5))
    assert refused.code == 1
    assert 'unknown field "spec.targetRequest"' in refused.err


async def test_dry_run_and_diff(kubectl: Kubectl, client: Client) -> None:
    await client.create(MODELS, MODEL)
    changed = model_manifest("smol", url="hf://org/smol", targetRequests=60)
    out = (await kubectl("apply", "--dry-run=server", "-f", "-", given=changed)).out
    assert "configured (server dry run)" in out
    difference = await kubectl.run("diff", "-f", "-", given=changed)
    assert difference.code == 1
    assert "+  targetRequests: 60" in difference.out


@pytest.mark.parametrize(
    "args",
    [
        ("create", "configmap", "made", "--from-literal=a=b"),
        ("create", "secret", "generic", "made", "--from-literal=a=b"),
        ("create", "job", "made", "--image=local/echo", "--", "echo", "hi"),
        ("create", "serviceaccount", "made"),
        ("run", "made", "--image=local/echo"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
async def test_create_makes_objects_by_itself(kubectl: Kubectl, args: tuple[str, ...]) -> None:
    assert "created" in (await kubectl(*args)).out
    await kubectl("get", {"run": "pod"}.get(args[0], args[1]), "made")


async def test_a_job_that_kubectl_made_keeps_its_command(kubectl: Kubectl, client: Client) -> None:
    await kubectl("create", "job", "made", "--image=local/echo", "--", "echo", "hi")
    spec = (await client.get(JOBS, "made"))["spec"]["template"]["spec"]
    assert (spec["containers"][0]["command"], spec["restartPolicy"]) == (["echo", "hi"], "Never")


async def test_may_i(kubectl: Kubectl) -> None:
    assert (await kubectl("auth", "can-i", "create", "models")).out == "yes\n"


async def test_logs(embedded: APIServer, kubectl: Kubectl, client: Client) -> None:
    await client.create(PODS, pod_manifest())
    assert (await kubectl("logs", "p")).out == "server one\nserver two\nserver three\n"
    assert (await kubectl("logs", "-f", "p", "--tail", "1")).out == "server three\nfour\n"
    assert (await kubectl("logs", "p", "--previous")).out == "the run before\n"


async def test_what_is_not_there_is_said(kubectl: Kubectl) -> None:
    answer = await kubectl.run("get", "model", "missing")
    assert answer.err == 'Error from server (NotFound): models.kubeai.org "missing" not found\n'


async def test_a_namespace_comes_and_goes(embedded: APIServer, kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "fleeting")
    await kubectl("delete", "namespace", "fleeting")
    assert (await kubectl.run("get", "namespace", "fleeting")).code == 1
