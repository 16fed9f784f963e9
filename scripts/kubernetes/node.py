"""A whole single-node Kubernetes on this machine: the API server with its controllers, and a real node.

    python -m scripts.kubernetes.node DIR     runs one with its data in DIR until Ctrl-C or SIGTERM

The node (containerd, kubelet, kube-proxy) lives in namespaces of its own; Pods and Services can be reached from this
machine by their addresses. There is no DNS, and no way out: images are brought with `load_image`, or pulled
from a registry on this machine that the node is told to `trust`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from scripts.kubernetes.api_server import (
    NODE_FEATURES,
    START_TIMEOUT_S,
    APIServer,
    Program,
    Reach,
    find_programs,
    run_until_stopped,
)
from scripts.kubernetes.images import Images
from scripts.kubernetes.namespaces import Addresses, Namespaces
from scripts.kubernetes.registry import Registry

NAME = "node"
PAUSE = "localhost/pause:1"
#: Where Debian has the plugins; CNI_PLUGINS is another place.
PLUGINS = os.environ.get("CNI_PLUGINS", "/usr/lib/cni")


class Node:
    """One node that joins an API server."""

    def __init__(self, programs: Path, containerd: Path, directory: Path) -> None:
        self._programs = programs
        #: The folder with its programs.
        self._containerd = containerd
        self._directory = directory.resolve()
        self._registries = self._directory / "registries"
        self._namespaces = Namespaces(self._directory)
        self._running: list[Program] = []

    @property
    def addresses(self) -> Addresses:
        return self._namespaces.addresses

    def start_network(self) -> None:
        self._namespaces.start()

    def join(self, server: APIServer, images: Images) -> None:
        """Start the programs; the node is ready some seconds after that."""
        self._start(
            "containerd",
            self._containerd / "containerd",
            "--config",
            self._write("containerd.toml", self._containerd_settings()),
        )
        self._until("containerd answers", lambda: bool(self.ctr("version")))
        self.load_image(images.pause(self._programs / "pause", PAUSE))
        kubelet = self._write("kubelet.yaml", yaml.safe_dump(self._kubelet(server)))
        kubeconfig = server.kubeconfig_of(f"system:node:{NAME}", "system:nodes")
        self._start(
            "kubelet",
            self._programs / "kubelet",
            f"--kubeconfig={kubeconfig}",
            f"--config={kubelet}",
            f"--hostname-override={NAME}",
            f"--node-ip={self.addresses.node}",
        )
        proxy = self._write("kube-proxy.yaml", yaml.safe_dump(self._proxy(server)))
        self._start("kube-proxy", self._programs / "kube-proxy", f"--config={proxy}")

    def stop(self) -> None:
        """End everything at once; nothing of it is needed again."""
        self._namespaces.stop()
        for program in self._running:
            program.stop(signal.SIGKILL)
        for data in self._directory.glob("var-lib*"):
            shutil.rmtree(data, ignore_errors=True)

    def run(self, *command: str | Path) -> str:
        """A command inside; its output. Raises `RuntimeError`."""
        return self._namespaces.run(*command)

    def load_image(self, archive: Path) -> None:
        self.ctr("images", "import", archive)

    def trust(self, registry: Registry) -> None:
        """Let containerd take images from it: it reads this when it wants one."""
        directory = self._registries / registry.address
        directory.mkdir(parents=True)
        url, authority = f"https://{registry.address}", registry.certificates / "ca.crt"
        (directory / "hosts.toml").write_text(f'server = "{url}"\n[host."{url}"]\nca = "{authority}"\n')

    def ctr(self, *arguments: str | Path) -> str:
        """Something that only containerd itself does; its output."""
        return self.run(self._containerd / "ctr", "--namespace", "k8s.io", *arguments)

    def check(self) -> None:
        """Raise `RuntimeError` with the end of its log if a program has ended."""
        for program in self._running:
            program.check()

    def _start(self, name: str, *command: str | Path) -> None:
        self._running.append(Program(self._directory / f"{name}.log", *self._namespaces.inside(*command)))

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            self.check()
            try:
                if holds():
                    return
            except (RuntimeError, OSError) as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"waited {START_TIMEOUT_S} s until {what}: {error}") from error
            time.sleep(0.1)

    def _write(self, name: str, content: str) -> Path:
        path = self._directory / name
        path.write_text(content)
        return path

    def _containerd_settings(self) -> str:
        """Everything else is in its default place, which is inside the namespaces."""
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "pods0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self.addresses.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "loopback"},
            ],
        }
        conf = self._directory / "cni"
        conf.mkdir(exist_ok=True)
        (conf / "10-pods.conflist").write_text(json.dumps(network))
        return f"""
version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "{self._registries}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{PLUGINS}"]
conf_dir = "{conf}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{self._containerd / "containerd-shim-runc-v2"}"
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd-opt"
"""

    def _kubelet(self, server: APIServer) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(server.authority.certificate("ca"))},
                "webhook": {"enabled": False},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self._namespaces.cgroup,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "failCgroupV1": False,
            "featureGates": dict.fromkeys(NODE_FEATURES, True),
            # This machine's disk is not the node's to judge.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "registerNode": True,
            # A test must not wait for what a large cluster would be spared.
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "10s",
        }

    def _proxy(self, server: APIServer) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(server.kubeconfig_of("system:kube-proxy"))},
            "mode": "nftables",
            "clusterCIDR": self.addresses.pods,
            "detectLocalMode": "ClusterCIDR",
            "hostnameOverride": NAME,
            "conntrack": {"maxPerCore": 0, "min": 0},
        }


class Cluster:
    """A control plane and its node."""

    def __init__(self, programs: Path, containerd: Path, directory: Path, images: Images) -> None:
        self._directory = directory.resolve()
        self.images = images
        self._programs = programs
        self.node = Node(programs, containerd, self._directory)
        self._server: APIServer | None = None

    @property
    def server(self) -> APIServer:
        assert self._server is not None, "start comes first"
        return self._server

    def start(self) -> None:
        """Start everything and wait until Pods can run. Raises `RuntimeError`."""
        self.node.start_network()
        addresses = self.node.addresses
        reach = Reach(addresses.outside, addresses.services, nodes=True)
        self._server = APIServer(self._programs, self._directory, reach)
        self._server.start()
        self.node.join(self._server, self.images)
        self._wait_ready()

    def stop(self) -> None:
        self.node.stop()
        if self._server is not None:
            self._server.stop()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            self.node.check()
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"the node is not ready after {START_TIMEOUT_S} s: see {self._directory}/kubelet.log"
                )
            time.sleep(0.1)

    def _ready(self) -> bool:
        """The node says so, and namespaces have the account that every Pod needs."""
        try:
            found = self.server.get("/api/v1/nodes")["items"]
            accounts = self.server.get("/api/v1/namespaces/default/serviceaccounts")["items"]
        except OSError:  # so much starts at once that an answer may take too long
            return False
        conditions = {c["type"]: c["status"] for node in found for c in node["status"].get("conditions", ())}
        return conditions.get("Ready") == "True" and bool(accounts)


@contextmanager
def running(directory: Path) -> Iterator[Cluster]:
    """A cluster that is ready, and gone afterwards. Raises `NoKubernetesError` where it cannot be."""
    programs, containerd = find_programs("node-programs"), find_programs("containerd-programs")
    cluster = Cluster(programs, containerd, directory, Images())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def _start(directory: Path) -> Iterator[Path]:
    with running(directory) as cluster:
        yield cluster.server.kubeconfig


if __name__ == "__main__":
    run_until_stopped(_start, __doc__)
