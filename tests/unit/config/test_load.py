"""From a file to a `System`, and what a wrong file is told."""

from pathlib import Path
from typing import Any

import pytest

from kubeai.config.load import ConfigError, load_system, parse_system
from kubeai.config.system import System

RECORDED = Path(__file__).resolve().parents[2] / "data/examples/system.yaml"


def parse(**keys: Any) -> System:
    return parse_system({"modelAutoscaling": {"stateConfigMapName": "state"}} | keys, "system.yaml")


def faults(**keys: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(**keys)
    return str(error.value).splitlines()


def test_reads_the_configuration_of_the_existing_implementation() -> None:
    system = load_system(RECORDED)
    assert system.model_servers["OLlama"].images["amd-gpu"] == "ollama/ollama:0.11.11-rocm"
    assert system.resource_profiles["nvidia-gpu-l4"].requests == {"cpu": "6", "memory": "24Gi", "nvidia.com/gpu": "1"}
    assert system.resource_profiles["cpu"].requests["cpu"] == "1"
    assert system.cache_profiles["premium-filestore"].shared_filesystem.storage_class_name == "premium-rwx"
    assert system.model_autoscaling.time_window_s == 600
    assert system.messaging.error_max_backoff_s == 30
    assert system.model_rollouts.surge == 1
    assert system.model_server_pods.service_account_name == "kubeai-models"


def test_an_engine_that_the_file_does_not_know_has_our_image() -> None:
    assert "llama.cpp" in load_system(RECORDED).model_servers["LlamaCpp"].images["default"]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"modelAutoscalling": {}}, "modelAutoscalling: unknown key; did you mean modelAutoscaling?"),
        ({"ModelRollouts": {}}, "ModelRollouts: unknown key; did you mean modelRollouts?"),
        ({"modelRollouts": {"surges": 1}}, "modelRollouts.surges: unknown key; did you mean surge?"),
        ({"modelRollouts": {"x": 1}}, "modelRollouts.x: unknown key; known here: drainTimeout, strategy, surge"),
        ({"modelRollouts": {"surge": -1}}, "modelRollouts.surge: must be greater than or equal to 0, not -1"),
        ({"modelRollouts": []}, "modelRollouts: must be a dictionary or instance of ModelRollouts, not []"),
        ({"secretNames": {"aws": ""}}, "secretNames.aws: must consist of lower-case letters"),
        ({"modelServers": {"vllm": {"images": {"default": "x"}}}}, "modelServers.vllm: must be 'OLlama', 'VLLM'"),
        ({"modelServers": {"VLLM": {}}}, "modelServers.VLLM.images: required"),
        ({"modelServers": {"VLLM": {"images": {}}}}, "modelServers.VLLM.images: needs an image named 'default'"),
        (
            {"resourceProfiles": {"x": {"limits": {"cpu": "1K"}}}},
            "resourceProfiles.x.limits.cpu: '1K' is not a quantity",
        ),
        (
            {"resourceProfiles": {"x": {"nodeSelector": {"a": True}}}},
            "resourceProfiles.x.nodeSelector.a: must be a string, not True",
        ),
        (
            {"resourceProfiles": {"x": {"nodeSelector": {"a b": ""}}}},
            "resourceProfiles.x.nodeSelector: key 'a b': name part must",
        ),
        ({"resourceProfiles": {"x:1": {}}}, "resourceProfiles.x:1: a profile's name must not"),
        ({"resourceProfiles": {"x": {"tolerations": {}}}}, "resourceProfiles.x.tolerations: must be a list, not {}"),
        (
            {"cacheProfiles": {"x": {"sharedFilesystem": {}}}},
            "cacheProfiles.x.sharedFilesystem: needs storageClassName or persistentVolumeName",
        ),
        ({"cacheProfiles": {"x": {}}}, "cacheProfiles.x.sharedFilesystem: required"),
        ({"messaging": {"streams": [{"requestsURL": "a"}]}}, "messaging.streams[0].responsesURL: required"),
        (
            {"messaging": {"streams": [{"requestsURL": "a", "responsesURL": "b", "maxHandlers": 0}]}},
            "messaging.streams[0].maxHandlers: must be greater than or equal to 1, not 0",
        ),
        ({"metricsAddr": "8080"}, "metricsAddr: must be HOST:PORT"),
        ({"healthAddress": ":99999"}, "healthAddress: must be HOST:PORT"),
        ({"fixedSelfMetricAddrs": [":1", "x"]}, "fixedSelfMetricAddrs[1]: must be HOST:PORT"),
        ({"modelAutoscaling": {}}, "modelAutoscaling.stateConfigMapName: required"),
        ({"modelAutoscaling": None}, "modelAutoscaling.stateConfigMapName: required"),
        (
            {"modelAutoscaling": {"stateConfigMapName": "s", "interval": "ten"}},
            "modelAutoscaling.interval: 'ten' is not a duration",
        ),
        (
            {"modelAutoscaling": {"stateConfigMapName": "s", "interval": 0}},
            "modelAutoscaling.interval: must be greater than 0, not 0",
        ),
        (
            {"modelAutoscaling": {"stateConfigMapName": "s", "interval": "1m", "timeWindow": "10s"}},
            "modelAutoscaling: timeWindow must not be shorter than interval",
        ),
        (
            {"leaderElection": {"leaseDuration": "5s"}},
            "leaderElection: leaseDuration must be longer than renewDeadline",
        ),
        (
            {"modelServerPods": {"jsonPatches": [{"op": "set", "path": "/a"}]}},
            "modelServerPods.jsonPatches[0]: op must be one of add, replace, test, move, copy, remove, not 'set'",
        ),
        (
            {"modelServerPods": {"jsonPatches": [{"op": "add", "path": "spec", "value": 1}]}},
            "modelServerPods.jsonPatches[0]: path must be a JSON pointer such as /spec/priority, not 'spec'",
        ),
        (
            {"modelServerPods": {"jsonPatches": [{"op": "move", "path": "/a"}]}},
            "modelServerPods.jsonPatches[0]: operation move needs from",
        ),
        ({"allowPodAddressOverride": "maybe"}, "allowPodAddressOverride: must be a boolean, not 'maybe'"),
        ({"gateway": {"waitTimeout": "0s"}}, "gateway.waitTimeout: must be greater than 0, not '0s'"),
        ({"gateway": {"max_queue": 1}}, "gateway.max_queue: unknown key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_names_file_and_key(keys: dict[str, Any], fault: str) -> None:
    assert [text[: len(fault) + 13] for text in faults(**keys)] == [f"system.yaml: {fault}"]


@pytest.mark.parametrize(("written", "meant"), [("", ":8080"), ("0", "0"), (None, ":8080")])
def test_an_address_that_is_empty_is_the_default_and_zero_is_off(written: str | None, meant: str) -> None:
    assert parse(metricsAddr=written).metrics_addr == meant


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(metricsAddr="x", healthAddress="y", modelRollouts={"surge": "z"})) == 3


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("a: [", "is not valid YAML", id="no YAML"),
        pytest.param("- a", "expected a mapping of configuration keys, found list", id="a list"),
        pytest.param(
            "metricsAddr: a\nmetricsAddr: b", "metricsAddr is given twice (line 2, column 1)", id="a key twice"
        ),
        pytest.param("a: {b: 1, b: 2}", "b is given twice", id="a key twice further in"),
        pytest.param("", "modelAutoscaling.stateConfigMapName: required", id="nothing"),
    ],
)
def test_refuses_a_file_with(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_system(path)
    assert str(error.value).startswith(f"{path}: ")
    assert fault in str(error.value)


def test_refuses_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read: is not UTF-8"):
        load_system(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_system(tmp_path / "none.yaml")


def test_merge_keys_are_not_keys_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(
        "modelAutoscaling: {stateConfigMapName: s}\n"
        "resourceProfiles:\n  a: &a {imageName: x}\n  b: {<<: *a, schedulerName: y}\n"
    )
    assert load_system(path).resource_profiles["b"].image_name == "x"
