"""What the values mean, and what is taken where a key is absent."""

from typing import Any

import pytest
from pydantic import ValidationError

from kubeai.api.schema import structural_schema
from kubeai.config.load import ConfigError, parse_system
from kubeai.config.system import DEFAULT_IMAGES, LeaderElection, ModelAutoscaling, System


def parse(**keys: Any) -> System:
    return parse_system({"modelAutoscaling": {"stateConfigMapName": "state"}} | keys, "system.yaml")


def test_defaults_are_those_of_the_existing_implementation() -> None:
    system = parse()
    assert (system.metrics_addr, system.health_address) == (":8080", ":8081")
    assert (system.model_autoscaling.interval_s, system.model_autoscaling.time_window_s) == (10, 600)
    assert system.leader_election == LeaderElection(lease_duration_s=15, renew_deadline_s=10, retry_period_s=2)
    assert (system.messaging.streams, system.fixed_self_metric_addrs) == ((), ())
    assert system.allow_pod_address_override is False


def test_a_stream_handles_one_message_at_a_time() -> None:
    system = parse(messaging={"streams": [{"requestsURL": "mem://a", "responsesURL": "mem://b"}]})
    (stream,) = system.messaging.streams
    assert (stream.requests_url, stream.responses_url, stream.max_handlers) == ("mem://a", "mem://b", 1)


def test_no_default_image_moves() -> None:  # fault R2
    assert not [image for image in DEFAULT_IMAGES.values() if "latest" in image or ":" not in image]
    assert "latest" not in parse().model_loading.image


def test_engines_keep_their_own_images() -> None:
    servers = parse(modelServers={"VLLM": {"images": {"default": "mine:1"}}}).model_servers
    assert servers["VLLM"].images == {"default": "mine:1"}
    assert set(servers) == set(DEFAULT_IMAGES)


def test_durations_of_the_file_are_texts_or_nanoseconds() -> None:
    autoscaling = {"stateConfigMapName": "s", "interval": 5_000_000_000, "timeWindow": "1m30s"}
    read = parse(modelAutoscaling=autoscaling).model_autoscaling
    assert (read.interval_s, read.time_window_s) == (5, 90)


def test_durations_in_code_are_seconds() -> None:
    assert ModelAutoscaling(interval_s=2, state_config_map_name="s").interval_s == 2


def test_the_gateway_is_bounded() -> None:  # fault P7
    gateway = parse(gateway={"maxQueuedRequests": 5, "waitTimeout": "1s"}).gateway
    assert (gateway.max_queue, gateway.wait_timeout_s, gateway.max_body_bytes) == (5, 1, 100 * 2**20)


def test_origins_are_off_unless_named() -> None:
    assert parse().gateway.cors.allowed_origins == ()
    named = parse(gateway={"cors": {"allowedOrigins": ["https://a.example", "http://localhost:3000"]}})
    assert named.gateway.cors.allowed_origins == ("https://a.example", "http://localhost:3000")


@pytest.mark.parametrize("origin", ["https://a.example/", "a.example", "https://", "https://ä.example", "a, b", ""])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"gateway\.cors\.allowedOrigins"):
        parse(gateway={"cors": {"allowedOrigins": [origin]}})


@pytest.mark.parametrize("empty", ["", None])
def test_what_a_chart_leaves_empty_is_not_set(empty: str | None) -> None:
    system = parse(
        resourceProfiles={"x": {"imageName": empty, "schedulerName": empty, "runtimeClassName": empty}},
        modelServerPods={"serviceAccountName": empty, "jsonPatches": []},
        messaging=None,
    )
    profile = system.resource_profiles["x"]
    assert (profile.image_name, profile.scheduler_name, profile.runtime_class_name) == (None, None, None)
    assert system.model_server_pods.service_account_name is None


def test_null_stays_null_in_a_patch() -> None:
    patch = {"op": "add", "path": "/spec/x", "value": None}
    assert parse(modelServerPods={"jsonPatches": [patch]}).model_server_pods.json_patches == [patch]


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse().metrics_addr = ":1"


def test_every_key_is_described() -> None:
    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        fields = schema.get("properties", {})
        below = [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
        return [
            *(f"{path}.{name}" for name, field in fields.items() if not field.get("description")),
            *(text for name, field in fields.items() for text in undescribed(field, f"{path}.{name}")),
            *(text for field in below for text in undescribed(field, path)),
        ]

    assert undescribed(structural_schema(System), "") == []
