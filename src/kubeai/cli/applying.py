"""`kubeai apply`, `scale` and `delete`: what changes objects."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from kubeai.api.k8s.resources import MODELS, Resource
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, BadNameError, ConnectionFailed

from .columns import pluck
from .errors import CLIError
from .getting import full_name, parse_words, read_one
from .kinds import kind_of
from .manifests import Document

#: Fields that were applied from here are known by this name; the operator has its own.
FIELD_MANAGER = "kubeai-cli"


async def apply_manifests(client: Client, documents: Sequence[Document]) -> None:
    """Apply all; one that is refused does not keep the others from being applied."""
    refused = []
    for document in documents:
        try:
            print(await _apply(client, document))
        except ConnectionFailed:
            raise  # the next one would fare no better
        except (APIError, BadNameError, CLIError) as error:
            refused.append(f"{document.where}: {error}")
    if refused:
        raise CLIError("\n".join(refused))


async def _apply(client: Client, document: Document) -> str:
    obj = document.object
    if not document.name:
        raise CLIError("metadata.name is required")
    resource = await kind_of(client, obj)
    namespace = pluck(obj, "metadata", "namespace")
    before = await _version(client, resource, document.name, namespace)
    after = await client.patch(
        resource, document.name, obj, namespace=namespace, type="apply", field_manager=FIELD_MANAGER, force=True
    )
    unchanged = before == pluck(after, "metadata", "resourceVersion")
    done = "created" if before is None else "unchanged" if unchanged else "configured"
    return f"{full_name(resource, after)} {done}"


async def _version(client: Client, resource: Resource, name: str, namespace: str | None) -> str | None:
    try:
        return str(pluck(await client.get(resource, name, namespace), "metadata", "resourceVersion"))
    except APIError as error:
        if error.not_found:
            return None
        raise


async def scale_model(client: Client, name: str, replicas: int) -> None:
    model = await read_one(client, MODELS, name)
    await client.patch(MODELS, name, {"spec": {"replicas": replicas}}, subresource="scale", field_manager=FIELD_MANAGER)
    print(f"{full_name(MODELS, model)} scaled to {replicas}")
    if note := bounds_note(model["spec"], replicas):
        print(note, file=sys.stderr)


def bounds_note(spec: dict[str, Any], replicas: int) -> str | None:
    """What becomes of the number, where the Model's bounds say otherwise."""
    if spec.get("autoscalingDisabled"):
        return None
    low, high = spec.get("minReplicas") or 0, spec.get("maxReplicas")
    if replicas < low:
        return f"note: minReplicas is {low}, so there will be {low}"
    if high is not None and replicas > high:
        return f"note: maxReplicas is {high}, so there will be {high}"
    return None


async def delete_objects(client: Client, words: Sequence[str], documents: Sequence[Document]) -> None:
    """Delete all that is named; what is not there is told at the end."""
    found: list[tuple[Resource, str, str | None]] = []
    if words:
        resource, names = await parse_words(client, words)
        if not names:
            raise CLIError(f"name the {resource.plural} to delete")
        found += [(resource, name, None) for name in names]
    for document in documents:
        namespace = pluck(document.object, "metadata", "namespace")
        found.append((await kind_of(client, document.object), document.name, namespace))
    missing = [line for target in found if (line := await _delete(client, *target))]
    if missing:
        raise CLIError("\n".join(missing))


async def _delete(client: Client, resource: Resource, name: str, namespace: str | None) -> str | None:
    try:
        await client.delete(resource, name, namespace=namespace)
    except APIError as error:
        if not error.not_found:
            raise
        return f"there is no {resource.kind} named {name!r} in namespace {namespace or client.namespace}"
    print(f"{full_name(resource, {'metadata': {'name': name}})} deleted")
    return None
