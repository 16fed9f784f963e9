"""Paths, discovery and schemas."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubeai.api.crd import model_crd
from kubeai.embedded import discovery
from kubeai.embedded.builtin import builtin_catalog
from kubeai.embedded.cluster import Cluster
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.embedded.openapi import OpenAPIDocuments
from kubeai.embedded.routes import Target, parse_target
from tests.builders import NOW

from .clusters import new_cluster


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Target("", "v1", "namespaces", "", "a")),
        ("/api/v1/namespaces/a/status", Target("", "v1", "namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/pods", Target("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/p", Target("", "v1", "pods", "a", "p")),
        ("/api/v1/namespaces/a/pods/p/log", Target("", "v1", "pods", "a", "p", "log")),
        ("/apis/batch/v1/namespaces/a/jobs/j/", Target("batch", "v1", "jobs", "a", "j")),
        ("/apis/g.dev/v1/things/t/scale", Target("g.dev", "v1", "things", "", "t", "scale")),
        ("/api/v1", None),
        ("/apis/batch/v1", None),
        ("/version", None),
        ("/api/v1/namespaces/a/pods/p/log/more", None),
    ],
)
def test_a_path_is_understood(path: str, target: Target | None) -> None:
    assert parse_target(path) == target


def _with_models() -> Cluster:
    cluster = new_cluster()
    cluster.install(model_crd(), NOW)
    return cluster


def test_both_forms_of_discovery_say_the_same() -> None:
    catalog = _with_models().catalog
    for name, versions in catalog.groups().items():
        for version in versions:
            old = discovery.resource_list(catalog, name, version)
            assert old is not None
            listed = {entry["name"] for entry in old["resources"]}
            document = discovery.aggregated(catalog, core=not name)
            (group,) = [item for item in document["items"] if item["metadata"].get("name", "") == name]
            (found,) = [v for v in group["versions"] if v["version"] == version]
            assert listed == {
                name
                for r in found["resources"]
                for name in [r["resource"], *(f"{r['resource']}/{s['subresource']}" for s in r.get("subresources", []))]
            }


def test_groups_are_listed_with_their_versions() -> None:
    catalog = _with_models().catalog
    names = {group["name"] for group in discovery.group_list(catalog)["groups"]}
    assert {"batch", "kubeai.org", "apiextensions.k8s.io", "authorization.k8s.io"} <= names
    group = discovery.find_group(catalog, "kubeai.org")
    assert group is not None
    assert group["preferredVersion"] == {"groupVersion": "kubeai.org/v1", "version": "v1"}
    assert discovery.find_group(catalog, "none.dev") is None


def test_a_schema_document_changes_its_address_with_its_content() -> None:
    cluster = new_cluster()
    documents = OpenAPIDocuments(cluster.catalog)
    before = msgspec.json.decode(documents.index())["paths"]
    cluster.install(model_crd(), NOW)
    after = msgspec.json.decode(documents.index())["paths"]
    assert after.keys() - before.keys() == {"apis/kubeai.org/v1"}
    assert after["api/v1"] == before["api/v1"]
    assert documents.document("apis/none/v1") is None


def _undescribed(schema: dict[str, Any], path: str) -> list[str]:
    below = [(f"{path}.{name}", s) for name, s in schema.get("properties", {}).items()]
    nameless = [p for p, s in below if not s.get("description")]
    items = schema.get("items")
    deeper = [*below, (f"{path}[]", items)] if isinstance(items, dict) else below
    return nameless + [found for p, s in deeper for found in _undescribed(s, p)]


def test_every_field_of_every_kind_is_described() -> None:
    kinds = list(builtin_catalog())
    assert [found for kind in kinds for found in _undescribed(kind.schema, kind.resource.kind)] == []


def test_the_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("older")
    path.chmod(0o644)
    write_kubeconfig(path, "http://127.0.0.1:1234", "a/b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    config = yaml.safe_load(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == "http://127.0.0.1:1234"
    assert config["users"][0]["user"] == {"as": "kubeai", "as-user-extra": {"kubeai-token": ["a/b"]}}
    assert config["current-context"] == "kubeai"
    assert [p.name for p in tmp_path.iterdir()] == ["kubeconfig"]
