"""Which kind of object a word means: `models`, `po`, `Event`, or one that only the cluster knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kubeai.api.k8s.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    JOBS,
    LEASES,
    MODELS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

from .errors import CLIError

if TYPE_CHECKING:
    from kubeai.kube.client import Client

KNOWN = (
    MODELS,
    PODS,
    EVENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    CONFIG_MAPS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    NODES,
    NAMESPACES,
    LEASES,
    CUSTOM_RESOURCE_DEFINITIONS,
)


def known_kind(word: str) -> Resource | None:
    """The kind that `word` means, if it is one of those that everybody uses."""
    return next((resource for resource in KNOWN if word.lower() in _words(resource)), None)


def _words(resource: Resource) -> set[str]:
    return {resource.plural, resource.singular, resource.group_plural, *resource.short_names}


async def find_kind(client: Client, word: str) -> Resource:
    """The kind that `word` means; the cluster is asked about words that are not known here."""
    found = known_kind(word)
    if found:
        return found
    for path in await _group_paths(client):
        for resource in await _served(client, path):
            if word.lower() in _words(resource):
                return resource
    raise CLIError(f"{word!r} is no type that the cluster has; often used are {', '.join(r.plural for r in KNOWN[:6])}")


async def kind_of(client: Client, obj: Mapping[str, Any]) -> Resource:
    """The kind of a manifest's object."""
    api_version, kind = str(obj.get("apiVersion") or ""), str(obj.get("kind") or "")
    for resource in KNOWN:
        if (resource.api_version, resource.kind) == (api_version, kind):
            return resource
    path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    for resource in await _served(client, path):
        if resource.kind == kind:
            return resource
    raise CLIError(f"the cluster has no kind {kind!r} of apiVersion {api_version!r}: is its CRD installed?")


async def _group_paths(client: Client) -> list[str]:
    groups = (await client.raw("GET", "/apis")).get("groups") or ()
    return ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]


async def _served(client: Client, path: str) -> list[Resource]:
    """The kinds of one group and version; none if the cluster does not have the group."""
    from kubeai.kube.errors import APIError

    try:
        found = await client.raw("GET", path)
    except APIError as error:
        if error.not_found:
            return []
        raise
    group, _, version = found.get("groupVersion", "").rpartition("/")
    return [
        Resource(
            group,
            version,
            entry["name"],
            entry["kind"],
            entry.get("namespaced", True),
            tuple(entry.get("shortNames") or ()),
        )
        for entry in found.get("resources") or ()
        if "/" not in entry["name"]
    ]
