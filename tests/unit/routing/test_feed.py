"""The feed: which Pods are endpoints, and that the balancer follows every change at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from prometheus_client import CollectorRegistry

from kubeai.api.k8s.objects import Pod
from kubeai.api.model import Model
from kubeai.planning.names import DRAINING_ANNOTATION
from kubeai.routing.balancer import Balancer
from kubeai.routing.endpoint import Endpoint
from kubeai.routing.feed import Feed, pod_endpoint
from kubeai.telemetry.registry import Metrics
from tests.builders import model, pod

T = TypeVar("T")

GONE = "2026-01-02T03:04:05Z"


class FakeInformer(Generic[T]):
    """Tells its handlers what the test says has changed."""

    def __init__(self) -> None:
        self._handlers: list[Callable[[T | None, T | None], None]] = []

    def on_change(self, handler: Callable[[T | None, T | None], None]) -> None:
        self._handlers.append(handler)

    def tell(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)


class World:
    def __init__(self, allow_address_override: bool = False, home: str | None = None) -> None:
        self.balancer = Balancer(Metrics(CollectorRegistry()))
        self.models = FakeInformer[Model]()
        self.pods = FakeInformer[Pod]()
        self.feed = Feed(self.balancer, self.models, self.pods, allow_address_override, home)

    def endpoints(self, name: str = "m") -> list[str]:
        return [load.endpoint.name for load in self.balancer.endpoints(name)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, True, id="a ready Pod is"),
        pytest.param({"ready": False}, False, id="a Pod that is not ready is not"),
        pytest.param({"status": {"podIP": None}}, False, id="a Pod without an address is not"),
        pytest.param({"metadata": {"deletionTimestamp": GONE}}, False, id="a Pod that is being deleted is not"),
        pytest.param({"status": {"phase": "Failed"}}, False, id="a Pod that was evicted is not"),
        # fault P3
        pytest.param({"metadata": {"annotations": {DRAINING_ANNOTATION: GONE}}}, False, id="a Pod that drains is not"),
    ],
)
def test_which_pod_is_an_endpoint(changes: dict[str, Any], expected: bool) -> None:
    assert (pod_endpoint(pod(**changes), False) is not None) == expected


def test_the_endpoint_is_named_and_addressed_by_the_pod() -> None:
    tuned = pod(
        "p1", metadata={"labels": {"adapter.kubeai.org/lora": "abc"}, "annotations": {"model-pod-port": "9000"}}
    )
    assert pod_endpoint(tuned, False) == Endpoint("default/p1", "10.0.0.1", 9000, frozenset({"lora"}))


def test_the_port_is_8000_unless_the_pod_says_otherwise() -> None:
    found = pod_endpoint(pod(), False)
    assert found is not None
    assert found.port == 8000


@pytest.mark.parametrize(("allowed", "host"), [(True, "127.0.0.1"), (False, "10.0.0.1")])
def test_the_address_annotation_counts_only_where_it_is_allowed(allowed: bool, host: str) -> None:
    found = pod_endpoint(pod(metadata={"annotations": {"model-pod-ip": "127.0.0.1"}}), allowed)
    assert found is not None
    assert found.host == host


def test_an_address_annotation_stands_in_for_a_missing_pod_address() -> None:
    assert (
        pod_endpoint(pod(status={"podIP": None}, metadata={"annotations": {"model-pod-ip": "127.0.0.1"}}), True)
        is not None
    )


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1", "٣"])
def test_a_pod_whose_port_is_none_gets_no_requests_and_says_so(
    world: World, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.models.tell(None, model("m"))
    world.pods.tell(None, pod("p1", metadata={"annotations": {"model-pod-port": port}}))
    assert world.endpoints() == []
    assert "Pod p1 gets no requests: annotation model-pod-port" in caplog.text


@pytest.mark.parametrize("model_first", [True, False])
def test_pod_and_model_may_become_known_in_any_order(world: World, model_first: bool) -> None:
    if model_first:
        world.models.tell(None, model("m"))
    world.pods.tell(None, pod("p1"))
    if not model_first:
        world.models.tell(None, model("m"))
    assert world.endpoints() == ["default/p1"]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"app": "model", "model": "other"}, id="of another model"),
        pytest.param({"app": "model"}, id="of no model"),
    ],
)
def test_pods_that_do_not_serve_the_model_are_left_alone(world: World, labels: dict[str, str]) -> None:
    world.models.tell(None, model("m"))
    world.pods.tell(None, pod("p1", metadata={"labels": labels}))
    assert world.endpoints() == []


# fault P2
@pytest.mark.parametrize(
    "last",
    [
        pytest.param(None, id="that vanishes without a last status"),
        pytest.param(pod("p1", metadata={"deletionTimestamp": GONE}), id="that is being deleted though still ready"),
        pytest.param(pod("p1", ready=False), id="that is no longer ready"),
        pytest.param(
            pod("p1", metadata={"labels": {"app": "model", "model": "other"}}), id="that was given to another model"
        ),
    ],
)
def test_a_pod_leaves_at_once(world: World, last: Pod | None) -> None:
    world.models.tell(None, model("m"))
    world.pods.tell(None, pod("p1"))
    world.pods.tell(pod("p1"), last)
    assert world.endpoints() == []


# fault P2
def test_a_deleted_model_leaves_no_group(world: World) -> None:
    world.models.tell(None, model("m"))
    world.pods.tell(None, pod("p1"))
    world.models.tell(model("m"), None)
    assert world.endpoints() == []
    world.pods.tell(pod("p1"), None)
    world.models.tell(None, model("m"))
    assert world.endpoints() == []


# fault P1
def test_an_adapter_label_makes_the_adapter_known(world: World) -> None:
    world.models.tell(None, model("m"))
    world.pods.tell(None, pod("p1"))
    world.pods.tell(
        pod("p1"), pod("p1", metadata={"labels": {"app": "model", "model": "m", "adapter.kubeai.org/lora": "abc"}})
    )
    assert world.balancer.has_endpoint("m", "lora")


async def test_a_changed_strategy_reaches_the_balancer(world: World) -> None:
    world.pods.tell(None, pod("p1"))
    world.pods.tell(None, pod("p2"))
    world.models.tell(None, model("m"))
    world.models.tell(model("m"), model("m", loadBalancing={"strategy": "PrefixHash"}))
    chosen = set()
    for _ in range(4):
        async with world.balancer.slot("m", prefix="x", timeout_s=0) as found:
            chosen.add(found.name)
    assert len(chosen) == 1


def test_models_of_one_name_in_two_namespaces_have_their_own_endpoints() -> None:
    world = World(home="default")
    for namespace in ("default", "team"):
        world.models.tell(None, model(metadata={"namespace": namespace}))
        world.pods.tell(None, pod(metadata={"namespace": namespace}))
    assert (world.endpoints("m"), world.endpoints("team/m")) == (["default/p"], ["team/p"])
    world.models.tell(model(metadata={"namespace": "team"}), None)
    assert (world.endpoints("m"), world.endpoints("team/m")) == (["default/p"], [])
