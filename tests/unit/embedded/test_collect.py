"""Garbage collection, over a cluster in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubeai.api.k8s.resources import CONFIG_MAPS, NAMESPACES, PODS
from kubeai.embedded.builtin import builtin_catalog
from kubeai.embedded.cluster import Cluster
from kubeai.embedded.deleting import Propagation
from kubeai.embedded.store import Key, Store
from tests.builders import NOW, config_map, owner_of, pod_manifest

from .clusters import DELETE, Disk, create, delete, entropy, names, new_cluster


def _owned(name: str, *owners: dict[str, Any], **more: Any) -> dict[str, Any]:
    return config_map(name, metadata={"ownerReferences": [owner_of(owner, **more) for owner in owners]})


def test_a_chain_goes_link_by_link() -> None:
    cluster = new_cluster()
    link = create(cluster, CONFIG_MAPS, config_map("c0"))
    for number in range(1, 6):
        link = create(cluster, CONFIG_MAPS, _owned(f"c{number}", link))
    delete(cluster, CONFIG_MAPS, "c0")
    assert names(cluster, CONFIG_MAPS) == []


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_circle_of_owners_ends(propagation: Propagation) -> None:
    cluster = new_cluster()
    one = create(cluster, CONFIG_MAPS, config_map("one"))
    two = create(cluster, CONFIG_MAPS, _owned("two", one, blockOwnerDeletion=True))
    entry = cluster.store.get(Key("configmaps", "default", "one"))
    assert entry is not None
    metadata = entry.obj["metadata"] | {"ownerReferences": [owner_of(two, blockOwnerDeletion=True)]}
    cluster.store.put(entry.key, entry.obj | {"metadata": metadata})
    delete(cluster, CONFIG_MAPS, "one", replace(DELETE, propagation=propagation))
    # As in Kubernetes a circle that blocks itself stays, marked; nothing runs for ever.
    assert names(cluster, CONFIG_MAPS) == ([] if propagation == "Background" else ["one", "two"])


def test_an_owner_of_the_same_name_is_not_the_owner() -> None:
    cluster = new_cluster()
    owner = create(cluster, CONFIG_MAPS, config_map("owner"))
    create(cluster, CONFIG_MAPS, _owned("child", owner))
    cluster.store.remove(Key("configmaps", "default", "owner"))
    create(cluster, CONFIG_MAPS, config_map("owner"))
    cluster.settle(NOW)
    assert names(cluster, CONFIG_MAPS) == ["owner"]


def test_an_owner_in_another_namespace_is_none() -> None:
    cluster = new_cluster()
    owner = create(cluster, CONFIG_MAPS, config_map("owner"), "kube-system")
    create(cluster, CONFIG_MAPS, _owned("child", owner))
    cluster.settle(NOW)
    assert names(cluster, CONFIG_MAPS) == ["owner"]


def test_a_pod_that_runs_is_given_its_time() -> None:
    cluster = new_cluster()
    owner = create(cluster, CONFIG_MAPS, config_map("owner"))
    metadata = {"ownerReferences": [owner_of(owner)]}
    create(cluster, PODS, pod_manifest(metadata=metadata, nodeName="here", terminationGracePeriodSeconds=9))
    delete(cluster, CONFIG_MAPS, "owner")
    (pod,) = cluster.store.entries("pods")
    assert pod.metadata["deletionGracePeriodSeconds"] == 9


def test_what_a_full_disk_prevented_is_done_later() -> None:
    disk = Disk()
    cluster = new_cluster(disk)
    owner = create(cluster, CONFIG_MAPS, config_map("owner"))
    create(cluster, CONFIG_MAPS, _owned("child", owner))
    cluster.store.remove(Key("configmaps", "default", "owner"))
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        cluster.settle(NOW)
    assert names(cluster, CONFIG_MAPS) == ["child"]
    disk.full = False
    cluster.settle(NOW)
    assert names(cluster, CONFIG_MAPS) == []


def test_what_a_crash_prevented_is_done_after_the_restart() -> None:
    before = new_cluster()
    owner = create(before, CONFIG_MAPS, config_map("owner"))
    create(before, CONFIG_MAPS, _owned("child", owner))
    create(before, NAMESPACES, {"metadata": {"name": "going"}})
    create(before, CONFIG_MAPS, config_map("content"), "going")
    before.store.remove(Key("configmaps", "default", "owner"))
    kind = before.kind("", "v1", "namespaces")
    before.delete(kind, "", "going", DELETE)
    store = Store(Disk())
    store.restore(before.store.version, list(before.store))
    after = Cluster(store, builtin_catalog(), entropy())
    after.settle(NOW)
    assert names(after, CONFIG_MAPS) == []
    assert "going" not in names(after, NAMESPACES)


def test_an_owner_that_waits_goes_when_its_dependent_is_kept_by_another() -> None:
    cluster = new_cluster()
    going, staying = (create(cluster, CONFIG_MAPS, config_map(name)) for name in ("going", "staying"))
    create(cluster, CONFIG_MAPS, _owned("child", going, staying, blockOwnerDeletion=True))
    cluster.settle(NOW)
    delete(cluster, CONFIG_MAPS, "going", replace(DELETE, propagation="Foreground"))
    assert names(cluster, CONFIG_MAPS) == ["child", "staying"]


def test_an_owner_that_waits_goes_when_its_dependent_lets_go_of_it() -> None:
    cluster = new_cluster()
    owner = create(cluster, CONFIG_MAPS, config_map("owner"))
    child = _owned("child", owner, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/held"]
    create(cluster, CONFIG_MAPS, child)
    delete(cluster, CONFIG_MAPS, "owner", replace(DELETE, propagation="Foreground"))
    assert names(cluster, CONFIG_MAPS) == ["child", "owner"]
    entry = cluster.store.get(Key("configmaps", "default", "child"))
    assert entry is not None
    metadata = {name: value for name, value in entry.metadata.items() if name != "ownerReferences"}
    cluster.store.put(entry.key, entry.obj | {"metadata": metadata})
    cluster.settle(NOW)
    assert names(cluster, CONFIG_MAPS) == ["child"]
