from __future__ import annotations

from datetime import timedelta

import pytest

from kubeai.api.k8s.resources import EVENTS
from kubeai.embedded.cluster import WriteOptions
from tests.builders import NOW

from .clusters import Disk, create, kind_of, names, new_cluster

MINUTE = timedelta(minutes=1)


def _event(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "involvedObject": {"namespace": "default"}}


def test_an_event_is_kept_for_an_hour_after_it_was_last_seen() -> None:
    cluster = new_cluster()
    create(cluster, EVENTS, _event("once"))
    create(cluster, EVENTS, _event("again"))
    later = NOW + 50 * MINUTE
    seen = {"lastTimestamp": later.isoformat()}
    cluster.update(kind_of(cluster, EVENTS), "default", "again", lambda obj: obj | seen, WriteOptions(later))
    cluster.settle(NOW + 59 * MINUTE)
    assert names(cluster, EVENTS) == ["again", "once"]
    cluster.settle(NOW + 61 * MINUTE)
    assert names(cluster, EVENTS) == ["again"]
    cluster.settle(NOW + 111 * MINUTE)
    assert names(cluster, EVENTS) == []


def test_a_full_disk_only_puts_the_end_off() -> None:
    disk = Disk()
    cluster = new_cluster(disk)
    create(cluster, EVENTS, _event("old"))
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        cluster.settle(NOW + 61 * MINUTE)
    disk.full = False
    cluster.settle(NOW + 61 * MINUTE)
    assert names(cluster, EVENTS) == []
