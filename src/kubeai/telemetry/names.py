"""Every metric of KubeAI: dashboards, alerts and the autoscaler rely on these names, so they are a contract.

The first four are those of earlier releases of KubeAI and must never change; the others are this project's own. The
registry builds its metrics from this table and the reference in the documentation is generated from it, so that
neither can drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Answers of small models take milliseconds, long generations minutes.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_CHUNK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: A cold start is a process start at best, a download of hundreds of gigabytes at worst.
_START_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
_WORK_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_POWERS_OF_TWO = tuple(float(2**i) for i in range(11))

#: The label that names a Model, as clients do.
REQUEST_MODEL = "request_model"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its full name as it is served, and what its value means."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    #: What several processes of one gateway say together: mostly each counts its own share.
    together: Literal["sum", "max"] = "sum"


REQUESTS_ACTIVE = MetricSpec(
    "kubeai_inference_requests_active",
    "gauge",
    "Requests that are waiting or being answered. Autoscaling reads this.",
    (REQUEST_MODEL, "request_type"),
)
HASH_LOOKUP_ITERATIONS = MetricSpec(
    "kubeai_inference_requests_hash_lookup_iterations",
    "histogram",
    "Points of the hash ring that a PrefixHash lookup passed until it found an endpoint.",
    buckets=_POWERS_OF_TWO,
)
HASH_LOOKUP_INITIAL = MetricSpec(
    "kubeai_inference_requests_hash_lookup_initial_total",
    "counter",
    "PrefixHash lookups that began at the endpoint.",
    ("endpoint",),
)
HASH_LOOKUP_FINAL = MetricSpec(
    "kubeai_inference_requests_hash_lookup_final_total",
    "counter",
    "PrefixHash lookups that ended at the endpoint because its load was under the bound.",
    ("endpoint",),
)
HASH_LOOKUP_DEFAULT = MetricSpec(
    "kubeai_inference_requests_hash_lookup_default_total",
    "counter",
    "PrefixHash lookups that took the endpoint although no endpoint was under the bound.",
    ("endpoint",),
)
REQUESTS = MetricSpec(
    "kubeai_inference_requests_total",
    "counter",
    "Requests that ended, by the status of the answer.",
    (REQUEST_MODEL, "request_type", "status"),
)
REQUEST_DURATION = MetricSpec(
    "kubeai_inference_request_duration_seconds",
    "histogram",
    "Time from the request's arrival to the end of its answer.",
    (REQUEST_MODEL,),
    _SECONDS,
)
TIME_TO_FIRST_BYTE = MetricSpec(
    "kubeai_inference_time_to_first_byte_seconds",
    "histogram",
    "Time from the request's arrival to the first byte of its answer.",
    (REQUEST_MODEL,),
    _SECONDS,
)
INTER_CHUNK = MetricSpec(
    "kubeai_inference_inter_chunk_seconds",
    "histogram",
    "Time between two pieces of a streamed answer, as they came from the model server.",
    (REQUEST_MODEL,),
    _CHUNK_SECONDS,
)
QUEUE_WAIT = MetricSpec(
    "kubeai_inference_queue_wait_seconds",
    "histogram",
    "Time that a request waited for an endpoint.",
    (REQUEST_MODEL,),
    _SECONDS,
)
COLD_START = MetricSpec(
    "kubeai_inference_cold_start_seconds",
    "histogram",
    "Time from a request that found no replica to the first ready endpoint.",
    (REQUEST_MODEL,),
    _START_SECONDS,
)
RETRIES = MetricSpec(
    "kubeai_inference_retries_total",
    "counter",
    "Further attempts at a request, by the reason why the attempt before failed.",
    (REQUEST_MODEL, "reason"),
)
TOKENS = MetricSpec(
    "kubeai_inference_tokens_total",
    "counter",
    "Tokens as the model servers report them in usage; kind is prompt or completion.",
    (REQUEST_MODEL, "kind"),
)
USAGE_REQUESTS = MetricSpec(
    "kubeai_usage_requests_total",
    "counter",
    "Requests that were admitted, by the name of the API key (empty without one) and the model.",
    ("key", REQUEST_MODEL),
)
USAGE_TOKENS = MetricSpec(
    "kubeai_usage_tokens_total",
    "counter",
    "Tokens by the name of the API key (empty without one) and the model; kind is prompt or completion.",
    ("key", REQUEST_MODEL, "kind"),
)
KEY_REQUESTS_RUNNING = MetricSpec(
    "kubeai_key_requests_running",
    "gauge",
    "Requests of an API key with limits that run or wait, where several processes share them.",
    ("key",),
)
KEY_REQUESTS_ADMITTED = MetricSpec(
    "kubeai_key_requests_admitted_total",
    "counter",
    "Requests that the limits of an API key let in, where several processes share them.",
    ("key",),
)
KEY_TOKENS_CHARGED = MetricSpec(
    "kubeai_key_tokens_charged_total",
    "counter",
    "Tokens that were taken from the limit of an API key, where several processes share it.",
    ("key",),
)
ENDPOINTS = MetricSpec(
    "kubeai_endpoints",
    "gauge",
    "Endpoints that can take requests.",
    (REQUEST_MODEL,),
    together="max",
)
ENDPOINT_REQUESTS_IN_FLIGHT = MetricSpec(
    "kubeai_endpoint_requests_in_flight",
    "gauge",
    "Requests that an endpoint is answering, endpoints that are leaving included.",
    (REQUEST_MODEL, "endpoint"),
)
REQUESTS_WAITING = MetricSpec(
    "kubeai_inference_requests_waiting",
    "gauge",
    "Requests that wait for an endpoint.",
    (REQUEST_MODEL,),
)
RECONCILES = MetricSpec(
    "kubeai_reconciles_total",
    "counter",
    "Passes of the operator over one Model, by their result.",
    ("result",),
)
RECONCILE_DURATION = MetricSpec(
    "kubeai_reconcile_duration_seconds",
    "histogram",
    "Time of one pass of the operator over one Model.",
    buckets=_WORK_SECONDS,
)
AUTOSCALER_AVERAGE = MetricSpec(
    "kubeai_autoscaler_average_requests",
    "gauge",
    "Active requests of a Model, averaged over its time window. Served by the leader, as all of the autoscaler's.",
    (REQUEST_MODEL,),
)
AUTOSCALER_REPLICAS = MetricSpec(
    "kubeai_autoscaler_desired_replicas",
    "gauge",
    "Replicas that the autoscaler decided for, after bounds and delay.",
    (REQUEST_MODEL,),
)
AUTOSCALER_SCALINGS = MetricSpec(
    "kubeai_autoscaler_scalings_total",
    "counter",
    "Changes of a Model's replicas; direction is up or down, cause is average, burst, present, minimum or maximum.",
    (REQUEST_MODEL, "direction", "cause"),
)
AUTOSCALER_BLIND = MetricSpec(
    "kubeai_autoscaler_blind_gateways",
    "gauge",
    "Gateways that could not be asked for their active requests in the last round; meanwhile nothing is scaled down.",
)

ALL: tuple[MetricSpec, ...] = tuple(value for value in globals().values() if isinstance(value, MetricSpec))
