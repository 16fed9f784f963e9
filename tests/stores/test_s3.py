"""The loader and a real S3 server, as a Pod's loader would meet it: another endpoint, an authority of its own, keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.conftest import S3
from tests.unit.loader.test_objects import await_line

pytestmark = [pytest.mark.stores, pytest.mark.timeout(600)]

LARGE_BYTES = 200_000_000


def load(*args: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kubeai.loader", *args]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def put(s3: S3, bucket: str, files: dict[str, bytes]) -> None:
    """Written behind the server's back: to it they are objects like any other."""
    for name, content in files.items():
        (s3.root / bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (s3.root / bucket / name).write_bytes(content)


FILES = {"m/config.json": b"{}", "m/sub dir/ä.bin": b"x" * 5000, "m/original/a.pth": b"y", "mother/no.bin": b"n"}


def test_a_directory_comes_with_all_its_files_and_nothing_beside_it(s3: S3, tmp_path: Path) -> None:  # fault C4
    put(s3, "directory", FILES)
    done = load("s3://directory/m?ignore=original/", str(tmp_path / "d"), environ=s3.environ())
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "d") == {"config.json": b"{}", "sub dir/ä.bin": b"x" * 5000}


def test_a_directory_goes_up_and_comes_back_alike(s3: S3, tmp_path: Path) -> None:
    """40 MB go in parts; the hash goes with them and is believed on the way back."""
    source = {"large.safetensors": os.urandom(40_000_000), "sub/small": b"s", "empty": b""}
    for name, content in source.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(content)
    up = load(f"file://{tmp_path}/src", "s3://models/up", environ=s3.environ())
    assert up.returncode == 0, up.stderr
    down = load("s3://models/up", str(tmp_path / "down"), environ=s3.environ())
    assert down.returncode == 0, down.stderr
    assert tree(tmp_path / "down") == source


def test_a_killed_download_goes_on(s3: S3, tmp_path: Path) -> None:  # fault C4
    content = os.urandom(LARGE_BYTES)
    put(s3, "killed", {"m/large": content})
    command = [sys.executable, "-m", "kubeai.loader", "s3://killed/m", str(tmp_path / "d")]
    with subprocess.Popen(command, env=s3.environ(), stdout=subprocess.DEVNULL) as process:
        await_line(tmp_path / "d", "*.journal", "\n")
        process.send_signal(signal.SIGKILL)
    again = load("s3://killed/m", str(tmp_path / "d"), environ=s3.environ())
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "d" / "large").read_bytes() == content
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["large"]


REFUSALS = {
    "a wrong key": ({"AWS_SECRET_ACCESS_KEY": "x"}, "s3://models/m", "does not accept the credentials"),
    "an unknown key": ({"AWS_ACCESS_KEY_ID": "x"}, "s3://models/m", "does not accept the credentials"),
    "no such bucket": ({}, "s3://none/m", "there is no such bucket or object"),
    "no such object": ({}, "s3://models/none", "there is no such bucket or object"),
    "an authority that nobody knows": ({"AWS_CA_BUNDLE": ""}, "s3://models/m", "error sending request"),
}


@pytest.mark.parametrize(("environ", "url", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_one_line_that_says_what_to_do(
    s3: S3, environ: dict[str, str], url: str, message: str, tmp_path: Path
) -> None:
    done = load(url, str(tmp_path / "d"), environ=s3.environ(**environ))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {url}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
