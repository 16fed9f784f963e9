"""Pages of shared memory: one writer each, and nothing is lost or counted twice when entries or writers come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from kubeai.telemetry.pages import IN_FLIGHT_BYTES, Memory, Page, shared_memory
from kubeai.telemetry.registry import Metrics
from kubeai.telemetry.totals import in_flight, strike_out


def page(size: int = 4096) -> Page:
    made = Page(memoryview(bytearray(size)))
    made.open()
    return made


def put(page: Page, key: bytes, *values: float) -> None:
    view, start = page.add(key, len(values))
    for offset, value in enumerate(values):
        view[start + offset] = value


def served(metrics: Metrics, *begins: str) -> list[str]:
    return [line for line in metrics.render().decode().splitlines() if line.startswith(begins)]


def test_keys_keep_their_numbers() -> None:
    written = page()
    put(written, b"a", 1.0)
    put(written, b"a longer key", 1.5, 2.0)
    assert written.entries() == {b"a": [1.0], b"a longer key": [1.5, 2.0]}


def test_the_same_key_has_the_same_cells() -> None:
    written = page()
    put(written, b"a", 1.0)
    view, start = written.add(b"a", 1)
    assert view[start] == 1.0


def test_the_place_of_a_key_that_was_removed_is_used_again_from_zero() -> None:
    written = page()
    put(written, b"a", 1.0)
    _, end = written.stamp
    written.remove(b"a")
    written.add(b"b", 1)
    assert (written.entries(), written.stamp[1]) == ({b"b": [0.0]}, end)


def test_a_successor_goes_on_where_the_writer_stopped() -> None:
    buffer = memoryview(bytearray(4096))
    first = Page(buffer)
    first.open()
    put(first, b"a", 1.0)
    put(first, b"gone", 1.0)
    first.remove(b"gone")
    second = Page(buffer)
    second.open()
    put(second, b"b", 2.0)
    view, start = second.add(b"a", 1)
    view[start] += 1
    assert (second.entries(), second.stamp[1]) == ({b"a": [2.0], b"b": [2.0]}, first.stamp[1])


def test_a_page_that_is_full_drops_new_keys_and_keeps_the_others(caplog: object) -> None:
    full = page(size=256)
    for number in range(100):
        put(full, b"key %d" % number, float(number))
    kept = full.entries()
    assert kept == {b"key %d" % number: [float(number)] for number in range(len(kept))}
    assert 0 < len(kept) < 100


#: Some begin with what stands nowhere else.
keys = st.builds(
    lambda start, rest: start + rest.replace(b"\xff", b""), st.sampled_from([b"a", b"\xff["]), st.binary(max_size=20)
)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "reopen"]), keys), max_size=60))
def test_a_page_is_a_dictionary_whatever_happens_to_it(steps: list[tuple[str, bytes]]) -> None:
    buffer = memoryview(bytearray(1 << 16))
    current = Page(buffer)
    current.open()
    expected: dict[bytes, list[float]] = {}
    for number, (step, key) in enumerate(steps):
        cells = len(key) % 3 + 1
        if step == "add":
            put(current, key, *[float(number)] * cells)
            expected[key] = [float(number)] * cells
        elif step == "remove":
            current.remove(key)
            expected.pop(key, None)
        else:
            current = Page(buffer)
            current.open()
    assert current.entries() == expected
    assert current.entries(b"\xff[") == {key: values for key, values in expected.items() if key.startswith(b"\xff[")}
    assert {key: view[start] for key, (view, start) in current.places().items()} == {
        key: values[0] for key, values in expected.items()
    }


def test_any_process_serves_what_all_have_counted() -> None:
    memory = Memory(3)
    first, second, _ = (Metrics(CollectorRegistry(), memory, number) for number in range(3))
    for metrics, requests in ((first, 1), (second, 2)):
        metrics.requests_total.labels("m", "http", "200").inc(requests)
        metrics.requests_active.labels("m", "http").inc(requests)
        metrics.queue_wait.labels("m").observe(requests)
        metrics.endpoints.labels("m").set(2)
    begins = ("kubeai_inference_requests_total{", "kubeai_inference_requests_active{", "kubeai_endpoints{")
    buckets = (
        'kubeai_inference_queue_wait_seconds_bucket{le="1.0"',
        'kubeai_inference_queue_wait_seconds_bucket{le="2.5"',
    )
    assert served(second, *begins, *buckets) == served(first, *begins, *buckets)
    assert {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in served(first, *begins)} == {
        "kubeai_inference_requests_total": 3,
        "kubeai_inference_requests_active": 3,
        "kubeai_endpoints": 2,  # both see the same endpoints
    }
    assert [line.rpartition(" ")[2] for line in served(first, *buckets)] == ["1.0", "2.0"]
    assert served(first, "kubeai_inference_queue_wait_seconds_sum") == [
        'kubeai_inference_queue_wait_seconds_sum{request_model="m"} 3.0'
    ]


def test_the_requests_in_flight_are_those_of_the_models_asked_for_in_all_processes() -> None:
    memory = Memory(2)
    for number in range(2):
        metrics = Metrics(CollectorRegistry(), memory, number)
        for model, name in (("m", "ns/p"), ("m", "ns/q"), ("ns/n", "ns/r"), ("m2", "ns/s")):
            metrics.endpoint_requests_in_flight.labels(model, name).inc(number)
    assert in_flight(memory, ["m", "ns/n", "none"]) == {"ns/p": 1, "ns/q": 1, "ns/r": 1}
    assert in_flight(memory, []) == {}


# fault P12
def test_what_a_dead_process_had_running_runs_no_more_and_what_it_counted_stays() -> None:
    memory = Memory(2)
    alive, dead = (Metrics(CollectorRegistry(), memory, number) for number in range(2))
    for metrics in (alive, dead):
        metrics.requests_total.labels("m", "http", "200").inc(5)
        metrics.requests_active.labels("m", "http").inc()
        metrics.endpoint_requests_in_flight.labels("m", "a").inc()
    strike_out(memory, 1)
    successor = Metrics(CollectorRegistry(), memory, 1)
    successor.requests_total.labels("m", "http", "200").inc()
    begins = ("kubeai_inference_requests_total{", "kubeai_inference_requests_active{", "kubeai_endpoint_requests")
    assert [float(line.rpartition(" ")[2]) for line in served(alive, *begins)] == [1, 1, 11]


def test_memory_outlives_a_process_that_is_killed() -> None:
    fd = shared_memory(2)
    program = f"""
import os, signal
from kubeai.telemetry.pages import Memory
from kubeai.telemetry.registry import Metrics
metrics = Metrics(memory=Memory(2, {fd}), process=1)
metrics.requests_total.labels("m", "http", "200").inc(7)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], pass_fds=[fd], check=False)
    assert done.returncode == -signal.SIGKILL
    metrics = Metrics(CollectorRegistry(), Memory(2, fd))
    os.close(fd)
    (line,) = served(metrics, "kubeai_inference_requests_total{")
    assert line.endswith(" 7.0")


def test_a_page_has_room_for_ten_thousand_endpoints() -> None:
    large = page(IN_FLIGHT_BYTES)
    for number in range(10_000):
        large.add(b'["kubeai_endpoint_requests_in_flight","m","default/model-m-%05d"]' % number, 1)
    assert len(large.entries()) == 10_000
