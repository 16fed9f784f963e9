"""Prometheus collects a real gateway's metrics, and has an answer to every query of the dashboard."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import yaml

from tests.e2e.conftest import ROOT, Instance

pytestmark = pytest.mark.clients

DASHBOARD: dict[str, Any] = json.loads((ROOT / "charts/kubeai/files/grafana-dashboard.json").read_text())
TARGETS = {
    f"{panel['title']}: {target['legendFormat']}": target
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
VARIABLES = {
    each["name"]: each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"
}
#: What Prometheus' operator says of a target that a ServiceMonitor names.
LABELS = {
    "namespace": "kubeai",
    "pod": "kubeai-0",
    "service": "kubeai",
    "container": "kubeai",
    "endpoint": "http-metrics",
}
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
IMAGE: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]

Series = list[dict[str, Any]]


@dataclass
class Prometheus:
    url: str

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def looks(self) -> bool:
        with contextlib.suppress(OSError):  # it is starting
            return bool(self.ask("up == 1"))
        return False

    def ask(self, query: str) -> Series:
        """As Grafana asks, with all that its variables offer chosen."""
        for name, value in {"$namespace": ".*", "$model": ".*", "$__rate_interval": "10m"}.items():
            query = query.replace(name, value)
        series: Series = self.get("query", query=query)["result"]
        return [each for each in series if not math.isnan(float(each["value"][1]))]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    instance = Instance(tmp_path_factory.mktemp("observed") / "data", ("--model", str(ROOT / "examples/smollm2.yaml")))
    try:
        yield instance.start()
    finally:
        if instance.process is not None and instance.process.poll() is None:
            instance.stop()


@pytest.fixture(scope="module")
def prometheus(gateway: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not on PATH: the dashboard's queries are not asked")
    directory = tmp_path_factory.mktemp("prometheus")
    job = {
        "job_name": "kubeai",
        "honor_labels": True,  # as the chart's ServiceMonitor
        "static_configs": [{"targets": [urllib.parse.urlsplit(gateway.url).netloc], "labels": LABELS}],
    }
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory}",
        f"--web.listen-address={address}",
    ]
    with (directory / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        found = Prometheus(f"http://{address}")
        try:
            gateway.wait_for(found.looks, "Prometheus to look")
            yield found
        finally:
            process.terminate()


def traffic(gateway: Instance, key: str) -> None:
    """From zero: a question, a stream, and an image, which the server refuses again and again."""

    def stopped() -> bool:
        gateway.kubeai("scale", "smollm2", "--replicas", "0")
        return not gateway.objects("pods")

    gateway.wait_for(stopped, "the server to stop")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, timeout=100, max_retries=0) as client:
        client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=20)
        list(client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=20, stream=True))
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="smollm2", messages=IMAGE)


@pytest.fixture(scope="module")
def answers(gateway: Instance, prometheus: Prometheus) -> dict[str, Series]:
    """To each query. What has been counted twice, with a look at it in between, has a rate."""
    key = gateway.kubeai("keys", "create", "alice").split()[0]

    def seen() -> dict[str, Series]:
        return {name: prometheus.ask(target["expr"]) for name, target in TARGETS.items()}

    traffic(gateway, key)
    gateway.wait_for(lambda: prometheus.ask("kubeai_inference_retries_total"), "Prometheus to look again")
    traffic(gateway, key)
    until = time.monotonic() + 50
    gateway.wait_for(lambda: all(seen().values()) or time.monotonic() > until, "all answers")
    return seen()


@pytest.mark.parametrize(("name", "target"), TARGETS.items(), ids=TARGETS.keys())
def test_a_query_of_the_dashboard_has_an_answer(answers: dict[str, Series], name: str, target: dict[str, Any]) -> None:
    """And what the legend shows of a line are labels that the line has."""
    shown = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    assert shown
    (labels, *_) = [each["metric"] for each in answers[name]]
    assert [label for label in shown if not labels.get(label)] == []


def test_an_endpoint_is_one_of_the_gateways_and_not_prometheus_own(answers: dict[str, Series]) -> None:
    lines = answers["Requests in flight by endpoint: {{endpoint}}"]
    assert {each["metric"]["endpoint"] for each in lines} & {"", LABELS["endpoint"]} == set()


@pytest.mark.parametrize(("name", "query"), VARIABLES.items(), ids=VARIABLES.keys())
def test_a_variable_of_the_dashboard_has_values(
    answers: dict[str, Series], prometheus: Prometheus, name: str, query: str
) -> None:
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
    assert found
    metric, label = found.groups()
    expected = {"namespace": ["kubeai"], "model": ["smollm2"]}
    assert prometheus.get(f"label/{label}/values", **{"match[]": metric}) == expected[name]


def test_the_metrics_are_in_order_for_promtool(gateway: Instance, answers: dict[str, Series]) -> None:
    program = shutil.which("promtool")
    assert program, "it comes with prometheus"
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
        metrics = answer.read()
    done = subprocess.run([program, "check", "metrics"], input=metrics, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
