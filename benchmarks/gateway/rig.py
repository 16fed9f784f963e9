"""What a measurement stands on: processes on their cores, what the kernel counted for them, and cheap engines."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Everything that is measured runs on the first core, what loads it and what it calls on the second.
PROXY_CORE, LOAD_CORE = 0, 1

_NGINX = """
daemon off; worker_processes 1; master_process off; pid {dir}/pid; error_log {dir}/error.log crit;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 100m; client_body_buffer_size 1m;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  {servers}
}}
"""
_JSON_ENGINE = """
  server {{ listen 127.0.0.1:{port} backlog=4096; root {dir};
    location / {{ default_type application/json; error_page 405 =200 $uri; try_files /answer =404; }} }}
"""
_STREAM_ENGINE = Path(__file__).with_name("stream_engine.c")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_port(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def process(*argv: str, core: int | None, silent: bool = False) -> Iterator[int]:
    """A process on one core (or any), with room for 65,536 connections where the system lets it have them."""
    pinned = ("taskset", "-c", str(core)) if core is not None and shutil.which("taskset") else ()
    command = [*pinned, *argv]
    log = subprocess.DEVNULL if silent else None
    running = subprocess.Popen(command, preexec_fn=_many_files, stdout=log, stderr=log)
    try:
        yield running.pid
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def nginx(directory: Path, servers: str, core: int) -> Iterator[int]:
    directory.mkdir(parents=True, exist_ok=True)
    conf = directory / "nginx.conf"
    conf.write_text(_NGINX.format(dir=directory, servers=servers))
    with process("nginx", "-p", str(directory), "-c", str(conf), "-e", str(directory / "error.log"), core=core) as pid:
        yield pid


@contextmanager
def json_engine(work: Path, answer: bytes) -> Iterator[int]:
    """Answers everything with the same bytes from memory; gives its port."""
    port, root = free_port(), work / "engine"
    root.mkdir()
    (root / "answer").write_bytes(answer)
    with nginx(root, _JSON_ENGINE.format(port=port, dir=root), LOAD_CORE):
        await_port(port)
        yield port


@contextmanager
def stream_engine(work: Path, chunks: int, interval_ms: int) -> Iterator[int]:
    """Streams; see `stream_engine.c`. Gives its port."""
    port, program = free_port(), work / "stream-engine"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", str(program), str(_STREAM_ENGINE)], check=True)
    with process(str(program), str(port), str(chunks), str(interval_ms), core=LOAD_CORE):
        await_port(port)
        yield port


def streamed(port: int) -> tuple[int, int]:
    """Streams that are open at this engine, and the chunks that it has sent so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        found = json.load(answer)
    return found["streams"], found["chunks"]


def cpu_seconds(pid: int) -> float:
    """Of all threads that it has now, as the kernel has counted it: in nanoseconds, where it tells them."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    if counted := [int(thread.read_text().split()[0]) for thread in threads]:
        return sum(counted) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} has no memory")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def limited(pids: list[int], percent: int) -> Iterator[bool]:
    """Each of the processes gets so much of one processor; False if this system does not let us."""
    made: list[Path] = []
    try:
        try:
            for pid in pids:
                made.append(_group(f"kubeai-bench-{pid}", percent))
                (made[-1] / "cgroup.procs").write_text(str(pid))
        except OSError:
            yield False
            return
        yield True
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()


def _group(name: str, percent: int) -> Path:
    first = Path("/sys/fs/cgroup/cpu")
    group = (first if first.is_dir() else Path("/sys/fs/cgroup")) / name
    group.mkdir()
    if first.is_dir():
        (group / "cpu.cfs_period_us").write_text("100000")
        (group / "cpu.cfs_quota_us").write_text(str(percent * 1000))
    else:
        (group / "cpu.max").write_text(f"{percent * 1000} 100000")
    return group
