"""Volumes as directories of this machine."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from kubeai.embedded.node.containers import parse_pod
from kubeai.embedded.node.environment import ConfigMissingError
from kubeai.embedded.node.volumes import Volumes, needed_by_volumes, remove_pod_files
from tests.builders import container, pod_body

OBJECTS: dict[tuple[str, str], dict[str, Any] | None] = {
    ("ConfigMap", "c"): {"data": {"a": "A", "b": "B"}},
    ("Secret", "s"): {"data": {"key": base64.b64encode(b"t0ken").decode()}},
}


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.pod_dir = root / "pods" / "u"

    def mounted(self, volume: dict[str, Any], **mount: Any) -> Path:
        """Where the volume's mount at /m is on this machine."""
        server = container(volumeMounts=[{"name": "v", "mountPath": "/m", **mount}])
        spec = parse_pod(pod_body("p", server, uid="u", volumes=[{"name": "v", **volume}]))
        volumes = Volumes(spec, self.pod_dir, self.root / "volumes")
        volumes.prepare(OBJECTS)
        return Path(volumes.mounts(spec.containers[0])["/m"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_empty_dir_belongs_to_the_pod_and_keeps_its_content(bench: Bench) -> None:
    path = bench.mounted({"emptyDir": {}})
    (path / "file").write_text("x")
    assert (bench.mounted({"emptyDir": {}}) / "file").exists()
    remove_pod_files(bench.pod_dir)
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory here")
def test_an_empty_dir_in_memory_is_in_memory_and_goes_with_the_pod(bench: Bench) -> None:
    path = bench.mounted({"emptyDir": {"medium": "Memory"}})
    assert path.parent == Path("/dev/shm")
    remove_pod_files(bench.pod_dir)
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory here")
def test_a_volume_for_shared_memory_is_the_machines_own(bench: Bench) -> None:
    server = container(volumeMounts=[{"name": "dshm", "mountPath": "/dev/shm"}])
    volumes = [{"name": "dshm", "emptyDir": {"medium": "Memory"}}]
    spec = parse_pod(pod_body("p", server, uid="u-of-shm", volumes=volumes))
    Volumes(spec, bench.pod_dir, bench.root).prepare({})
    assert not list(Path("/dev/shm").glob("kubeai-u-of-shm-*"))


def test_a_claim_is_a_directory_that_stays(bench: Bench) -> None:
    path = bench.mounted({"persistentVolumeClaim": {"claimName": "models"}}, subPath="a/b")
    assert path == bench.root / "volumes/models/a/b"
    remove_pod_files(bench.pod_dir)
    assert path.is_dir()


def test_a_config_map_is_files(bench: Bench) -> None:
    path = bench.mounted({"configMap": {"name": "c"}})
    assert {file.name: file.read_text() for file in path.iterdir()} == {"a": "A", "b": "B"}


def test_single_keys_can_be_placed(bench: Bench) -> None:
    path = bench.mounted({"configMap": {"name": "c", "items": [{"key": "a", "path": "sub/x"}]}})
    assert [str(f.relative_to(path)) for f in path.rglob("*") if f.is_file()] == ["sub/x"]


def test_one_file_can_be_mounted(bench: Bench) -> None:
    assert bench.mounted({"configMap": {"name": "c"}}, subPath="a").read_text() == "A"


def test_a_secret_is_for_its_user_only(bench: Bench) -> None:
    file = bench.mounted({"secret": {"secretName": "s"}}) / "key"
    assert file.read_bytes() == b"t0ken"
    assert file.stat().st_mode & 0o077 == 0


def test_an_optional_object_that_is_missing_is_an_empty_directory(bench: Bench) -> None:
    assert list(bench.mounted({"secret": {"secretName": "no", "optional": True}}).iterdir()) == []


def test_a_path_of_this_machine_is_itself(bench: Bench) -> None:
    (bench.root / "weights").write_text("w")
    assert bench.mounted({"hostPath": {"path": str(bench.root / "weights"), "type": "File"}}).read_text() == "w"
    made = bench.root / "new"
    assert bench.mounted({"hostPath": {"path": str(made), "type": "DirectoryOrCreate"}}) == made
    assert made.is_dir()


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        pytest.param({"configMap": {"name": "no"}}, 'configmap "no" not found', id="no such config map"),
        pytest.param(
            {"secret": {"secretName": "s", "items": [{"key": "no", "path": "x"}]}},
            "couldn't find key no in Secret s",
            id="no such key",
        ),
        pytest.param({"hostPath": {"path": "/no/such"}}, "hostPath /no/such: there is nothing", id="no such path"),
        pytest.param(
            {"hostPath": {"path": "/no/such", "type": "File"}}, "hostPath /no/such: there is no such file", id="no file"
        ),
        pytest.param({"nfs": {"server": "x"}}, "volume v: one machine has only emptyDir", id="a cluster's volume"),
    ],
)
def test_what_is_missing_is_named(bench: Bench, volume: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigMissingError, match=re.escape(message)):
        bench.mounted(volume)


def test_the_objects_that_become_files_are_needed() -> None:
    volumes = [{"name": "a", "configMap": {"name": "c"}}, {"name": "b", "secret": {"secretName": "s"}}]
    assert needed_by_volumes(parse_pod(pod_body("p", volumes=volumes))) == {("ConfigMap", "c"), ("Secret", "s")}
