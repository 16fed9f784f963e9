"""The names are a contract: what is served must be exactly what the table says."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from kubeai.telemetry import names
from kubeai.telemetry.reference import metrics_reference
from kubeai.telemetry.registry import Metrics

#: Gauges whose numbers somebody else owns.
SAMPLED = (
    names.AUTOSCALER_AVERAGE,
    names.AUTOSCALER_REPLICAS,
    names.AUTOSCALER_BLIND,
)


def served(metrics: Metrics) -> dict[str, str]:
    """Name as in the exposition -> kind."""
    lines = metrics.render().decode().splitlines()
    return {name: kind for _, _, name, kind in (line.split() for line in lines if line.startswith("# TYPE"))}


def test_serves_every_metric_of_the_table_under_its_name() -> None:
    metrics = Metrics(CollectorRegistry())
    for spec in SAMPLED:
        metrics.sampled(spec, list)
    assert served(metrics) == {spec.name: spec.kind for spec in names.ALL}


@pytest.mark.parametrize(
    "name",
    [
        "kubeai_inference_requests_active",
        "kubeai_inference_requests_hash_lookup_iterations",
        "kubeai_inference_requests_hash_lookup_initial_total",
        "kubeai_inference_requests_hash_lookup_final_total",
        "kubeai_inference_requests_hash_lookup_default_total",
    ],
)
def test_keeps_the_names_of_earlier_releases(name: str) -> None:
    assert name in {spec.name for spec in names.ALL}


def test_the_active_gauge_has_the_labels_that_autoscalers_read() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.requests_active.labels(request_model="m", request_type="http").inc()
    line = 'kubeai_inference_requests_active{request_model="m",request_type="http"} 1.0'
    assert line in metrics.render().decode().splitlines()


def test_iterations_are_counted_in_powers_of_two_up_to_1024() -> None:
    families = text_string_to_metric_families(Metrics(CollectorRegistry()).render().decode())
    family = next(f for f in families if f.name == names.HASH_LOOKUP_ITERATIONS.name)
    bounds = [s.labels["le"] for s in family.samples if s.name.endswith("_bucket")]
    assert (bounds[0], bounds[-2], bounds[-1], len(bounds)) == ("1.0", "1024.0", "+Inf", 12)


def test_renders_only_what_is_asked_for() -> None:
    metrics = Metrics()
    metrics.requests_active.labels("m", "http").inc()
    assert len(metrics.render([names.REQUESTS_ACTIVE.name]).splitlines()) == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", True, id="everything without a query"),
        pytest.param("name[]=kubeai_inference_requests_active", False, id="one metric"),
        pytest.param("name%5B%5D=kubeai_inference_requests_active&x", False, id="escaped brackets"),
    ],
)
def test_the_page_serves_what_its_query_asks_for(query: str, expected: bool) -> None:
    metrics = Metrics()
    metrics.requests_active.labels("m", "http").inc()
    page = metrics.page(query).decode()
    assert "kubeai_inference_requests_active{" in page
    assert ("kubeai_reconciles_total" in page) == expected


def test_the_page_of_one_model_has_no_series_of_others() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.sampled(names.AUTOSCALER_AVERAGE, lambda: [(("m",), 2.0), (("m2",), 3.0)])
    for model in ("m", "m2", 'm","m', "gone"):
        metrics.requests_active.labels(model, "http").inc()
        metrics.endpoint_requests_in_flight.labels(model, "ns/p").inc()
        metrics.queue_wait.labels(model).observe(1.0)
    metrics.requests_active.remove("gone", "http")
    metrics.key_requests_running.labels("alice").inc()
    samples = [
        (sample.name, *sample.labels.values())
        for family in text_string_to_metric_families(metrics.page("request_model=m&request_model=gone").decode())
        for sample in family.samples
        if sample.labels and "le" not in sample.labels
    ]
    assert sorted(samples) == [
        ("kubeai_autoscaler_average_requests", "m"),
        ("kubeai_endpoint_requests_in_flight", "ns/p", "gone"),
        ("kubeai_endpoint_requests_in_flight", "ns/p", "m"),
        ("kubeai_inference_queue_wait_seconds_count", "gone"),
        ("kubeai_inference_queue_wait_seconds_count", "m"),
        ("kubeai_inference_queue_wait_seconds_sum", "gone"),
        ("kubeai_inference_queue_wait_seconds_sum", "m"),
        ("kubeai_inference_requests_active", "m", "http"),
        ("kubeai_key_requests_running", "alice"),
    ]


def test_a_part_of_a_histogram_can_be_asked_for() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.queue_wait.labels("m").observe(1.0)
    page = metrics.render(["kubeai_inference_queue_wait_seconds_count"])
    assert b'kubeai_inference_queue_wait_seconds_count{request_model="m"} 1.0' in page


def test_says_nothing_about_when_a_series_was_created() -> None:
    metrics = Metrics()
    metrics.retries.labels("m", "connect").inc()
    assert b"_created" not in metrics.render()


def test_a_sampled_gauge_forgets_what_its_owner_forgot() -> None:
    loads = {"m": 2.0}
    metrics = Metrics()
    metrics.sampled(names.AUTOSCALER_AVERAGE, lambda: [((model,), load) for model, load in loads.items()])
    assert b'kubeai_autoscaler_average_requests{request_model="m"} 2.0' in metrics.render()
    loads.clear()
    assert b"kubeai_autoscaler_average_requests{" not in metrics.render()


def test_two_processes_worth_of_metrics_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.reconciles.labels("ok").inc()
    assert b'result="ok"' not in second.render()


def test_the_reference_has_a_row_for_each_metric() -> None:
    page = metrics_reference()
    assert [spec.name for spec in names.ALL if f"| `{spec.name}` | {spec.kind} |" not in page] == []
