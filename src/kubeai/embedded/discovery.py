"""Documents by which clients learn what is served: groups, versions and resources.

There are two forms: the old one, a document for each version of a group, and the aggregated one for all at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubeai import __version__
from kubeai.embedded.kinds import Catalog, Kind
from kubeai.embedded.scaling import API_VERSION as SCALE_VERSION
from kubeai.embedded.status import JSONObject

#: Reviews that clients create, and that are answered but never stored: (group, version, plural, kind).
REVIEWS = (
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
)
#: The version of the Kubernetes API that this server speaks like.
_KUBERNETES = ("1", "36")


def version_info() -> JSONObject:
    major, minor = _KUBERNETES
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+kubeai-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": "kubeai/embedded",
    }


def core_versions() -> JSONObject:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _groups(catalog: Catalog) -> dict[str, list[str]]:
    groups = {group: versions for group, versions in catalog.groups().items() if group}
    for group, version, _, _ in REVIEWS:
        groups.setdefault(group, [version])
    return groups


def group_list(catalog: Catalog) -> JSONObject:
    groups = [group(name, versions) for name, versions in _groups(catalog).items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(name: str, versions: list[str]) -> JSONObject:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": listed, "preferredVersion": listed[0]}


def find_group(catalog: Catalog, name: str) -> JSONObject | None:
    versions = _groups(catalog).get(name)
    return group(name, versions) if versions else None


def resource_list(catalog: Catalog, name: str, version: str) -> JSONObject | None:
    """The resources of one version of a group, in the old form."""
    resources = [entry for kind in catalog.in_group(name, version) for entry in _resources(kind)]
    resources += [
        {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
        for g, v, plural, kind in REVIEWS
        if (g, v) == (name, version)
    ]
    if not resources:
        return None
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _resources(kind: Kind) -> Iterator[JSONObject]:
    resource = kind.resource
    names = {"name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced}
    entry = names | {"kind": resource.kind, "verbs": list(kind.verbs)}
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    yield entry
    for subresource in kind.subresources:
        below = {"name": f"{resource.plural}/{subresource}", "singularName": "", "namespaced": resource.namespaced}
        yield below | _subresource_kind(kind, subresource) | {"verbs": list(_SUBRESOURCE_VERBS[subresource])}


_SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "log": ("get",),
    "exec": ("create", "get"),
    "binding": ("create",),
}

#: Where it is not that of the resource itself.
_SUBRESOURCE_KINDS = {"binding": "Binding", "exec": "PodExecOptions"}


def _subresource_kind(kind: Kind, subresource: str) -> JSONObject:
    if subresource == "scale":
        group, version = SCALE_VERSION.split("/")
        return {"group": group, "version": version, "kind": "Scale"}
    return {"kind": _SUBRESOURCE_KINDS.get(subresource, kind.resource.kind)}


def aggregated(catalog: Catalog, *, core: bool) -> JSONObject:
    """All of /api or all of /apis in one document."""
    groups = {"": ["v1"]} if core else _groups(catalog)
    items = [_aggregated_group(catalog, name, versions) for name, versions in groups.items()]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_group(catalog: Catalog, name: str, versions: list[str]) -> JSONObject:
    listed = [
        {"version": v, "resources": list(_aggregated_resources(catalog, name, v)), "freshness": "Current"}
        for v in versions
    ]
    return {"metadata": {"name": name} if name else {}, "versions": listed}


def _aggregated_resources(catalog: Catalog, name: str, version: str) -> Iterator[JSONObject]:
    listed = resource_list(catalog, name, version) or {"resources": []}
    found: dict[str, JSONObject] = {}
    for entry in listed["resources"]:
        plural, _, subresource = entry["name"].partition("/")
        kind = {"group": entry.get("group", name), "version": entry.get("version", version), "kind": entry["kind"]}
        if subresource:
            below = {"subresource": subresource, "responseKind": kind, "verbs": entry["verbs"]}
            found[plural].setdefault("subresources", []).append(below)
            continue
        found[plural] = {
            "resource": plural,
            "responseKind": kind,
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
            "singularResource": entry["singularName"],
            "verbs": entry["verbs"],
        } | {name: entry[name] for name in ("shortNames", "categories") if name in entry}
    yield from found.values()
