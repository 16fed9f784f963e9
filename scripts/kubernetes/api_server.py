"""A real API server on this machine: etcd, kube-apiserver with RBAC and, where there is one, the controller manager.

    python -m scripts.kubernetes.api_server DIR     runs one with its data in DIR until Ctrl-C or SIGTERM

There is no node: Pods stay pending unless somebody plays the kubelet (`scripts.kubernetes.node` has a real one). All
ports are free ones on loopback, and the programs end with the process that started them, however that ends.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.kubernetes.authority import Authority

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 15
#: What stands in for a cluster's own controllers. Those for nodes are left out: they would judge Pods whose nodes do
#: not exist.
CONTROLLERS = (
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)
#: What is off by default, and a node's kubelet and its API server have to agree about.
NODE_FEATURES = ("ImageVolume",)


class NoKubernetesError(Exception):
    """There are no programs to run; the text says what is missing."""


def find_programs(finder: str = "programs") -> Path:
    """The folder with the programs, which are built if need be (minutes, once). Raises `NoKubernetesError`."""
    found = subprocess.run([HERE / finder], capture_output=True, text=True, check=False)
    sys.stderr.write(found.stderr)
    if found.returncode != 0:
        raise NoKubernetesError(found.stderr.strip() or f"{HERE / finder} ended with {found.returncode}")
    return Path(found.stdout.strip().splitlines()[-1])


class Program:
    """One process with its log."""

    def __init__(self, log: Path, *command: str | Path) -> None:
        self.log = log
        # The kernel ends it with us, where there is a tool to ask the kernel for that; "us" is the thread that calls
        # this, so it has to be one that stays.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*tied, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def check(self) -> None:
        """Raise `RuntimeError` with the end of the log if it has ended."""
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self.log.stem} ended with {self._process.returncode}:\n{tail}")

    def await_port(self, address: str, port: int) -> None:
        """Wait until it listens there, for as long as it runs. Raises `RuntimeError` if it ends."""
        while True:
            self.check()
            try:
                socket.create_connection((address, port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class Reach:
    """Who can reach the API server: this machine's processes only, or a node with its Pods as well."""

    address: str = "127.0.0.1"
    #: The Service `kubernetes` has the first address.
    services: str = "10.96.0.0/16"
    #: Nodes join: all of a cluster's controllers run, and the scheduler.
    nodes: bool = False

    @property
    def service_address(self) -> str:
        return str(ipaddress.ip_network(self.services)[1])


class APIServer:
    """A real API server over one directory. The same directory has the same objects again."""

    def __init__(self, programs: Path, directory: Path, reach: Reach = Reach()) -> None:
        self._programs = programs
        self._directory = directory.resolve()
        self._reach = reach
        self.authority = Authority(self._directory / "pki")
        self.authority.sign("apiserver", "/CN=kube-apiserver", (reach.address, reach.service_address))
        #: Signs the tokens of service accounts.
        self.authority.sign("accounts", "/CN=service-accounts")
        self._etcd_port, self._etcd_peer_port, self._manager_port, self._scheduler_port = free_ports(4)
        (self._port,) = free_ports(1, reach.address)
        #: In the order in which they are started.
        self._running: dict[str, Program] = {}
        self.kubeconfig = self.kubeconfig_of("admin", "system:masters")

    @property
    def url(self) -> str:
        return f"https://{self._reach.address}:{self._port}"

    @property
    def has_controllers(self) -> bool:
        """Whether garbage is collected, namespaces go away and service accounts come about."""
        return (self._programs / "kube-controller-manager").exists()

    def kubeconfig_of(self, user: str, *groups: str) -> Path:
        """The kubeconfig of this user, who is made with a client certificate; RBAC decides what the user may do."""
        self.authority.sign(user, "".join(f"/O={group}" for group in groups) + f"/CN={user}")
        path = self._directory / f"{user}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.authority.certificate("ca"))}
        certificate, key = self.authority.certificate(user), self.authority.key(user)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def start(self) -> None:
        """Start everything and wait until the API server is ready. Raises `RuntimeError` if it does not become so."""
        self._start_etcd()
        self.start_api()
        if self.has_controllers:
            self._start_controllers()
        if self._reach.nodes:
            self._start_scheduler()

    def stop(self) -> None:
        """Only etcd has something to write down; the others would wait for clients that have gone."""
        for name, program in reversed(self._running.items()):
            program.stop(signal.SIGTERM if name == "etcd" else signal.SIGKILL)
        self._running.clear()

    def start_api(self) -> None:
        self._start("kube-apiserver", *self._api_flags())
        self._wait_ready()

    def stop_api(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Take the API server away from under its clients; `start_api` brings it back in the same place."""
        self._running.pop("kube-apiserver").stop(how)

    def _start(self, name: str, *flags: str) -> None:
        self._running[name] = Program(self._directory / f"{name}.log", self._programs / name, *flags)

    def _start_etcd(self) -> None:
        clients, peers = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._etcd_peer_port}"
        self._start(
            "etcd",
            f"--data-dir={self._directory / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
        )

    def _api_flags(self) -> Sequence[str]:
        signed = self.authority
        # Without controllers no namespace gets the service account that this plugin asks of every Pod.
        plugins = [] if self.has_controllers else ["--disable-admission-plugins=ServiceAccount"]
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--bind-address={self._reach.address}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={signed.certificate('apiserver')}",
            f"--tls-private-key-file={signed.key('apiserver')}",
            f"--client-ca-file={signed.certificate('ca')}",
            f"--authorization-mode={'Node,RBAC' if self._reach.nodes else 'RBAC'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={signed.certificate('accounts')}",
            f"--service-account-signing-key-file={signed.key('accounts')}",
            f"--service-cluster-ip-range={self._reach.services}",
            *(self._node_flags() if self._reach.nodes else ["--endpoint-reconciler-type=none"]),
            *plugins,
        ]

    def _node_flags(self) -> Sequence[str]:
        """Pods find the API server by its Service; it asks kubelets for logs, and to run commands."""
        return [
            f"--advertise-address={self._reach.address}",
            f"--kubelet-client-certificate={self.authority.certificate('admin')}",
            f"--kubelet-client-key={self.authority.key('admin')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--feature-gates={','.join(f'{name}=true' for name in NODE_FEATURES)}",
        ]

    def _start_controllers(self) -> None:
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={'*' if self._reach.nodes else ','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager_port}",
            f"--root-ca-file={self.authority.certificate('ca')}",
        )

    def _start_scheduler(self) -> None:
        self._start(
            "kube-scheduler",
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._scheduler_port}",
        )

    def get(self, path: str) -> Any:
        """What the administrator reads there. Raises `OSError`."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate("ca")))
        context.load_cert_chain(self.authority.certificate("admin"), self.authority.key("admin"))
        with urllib.request.urlopen(f"{self.url}{path}", context=context, timeout=5) as answer:
            return json.load(answer) if answer.headers.get_content_type() == "application/json" else answer.read()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            for program in self._running.values():
                program.check()
            try:
                self.get("/readyz")
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the API server is not ready after {START_TIMEOUT_S} s: {error}") from error
            time.sleep(0.05)


@contextmanager
def running(directory: Path) -> Iterator[APIServer]:
    """An API server that is ready, and gone afterwards. Raises `NoKubernetesError` where there are no programs."""
    server = APIServer(find_programs(), directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody uses now. Nobody can promise more: these programs cannot be given a socket, or port 0."""
    sockets = [socket.create_server((address, 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def run_until_stopped(start: Callable[[Path], AbstractContextManager[Path]], usage: str | None) -> None:
    """A program of one argument: run what `start` starts in that folder until Ctrl-C or SIGTERM, and end it.

    `start` gives the path of the kubeconfig that leads to it.
    """
    if len(sys.argv) != 2:
        sys.exit(usage)
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with start(directory) as kubeconfig:
            print(f"export KUBECONFIG={kubeconfig}", flush=True)
            signal.pause()
    except NoKubernetesError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


@contextmanager
def _start(directory: Path) -> Iterator[Path]:
    with running(directory) as server:
        yield server.kubeconfig


if __name__ == "__main__":
    run_until_stopped(_start, __doc__)
