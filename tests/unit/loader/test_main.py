"""The loader as it is run: a process with a command line, an environment and an exit code."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kubeai.loader.parts import RANGE_BYTES
from tests.unit.loader.servers import Exchange, Hub, serve
from tests.unit.loader.test_objects import await_file, await_line

FILES = {"config.json": b"{}", "weights/model.gguf": b"w" * 3000}


def load(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kubeai.loader", *args]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    return subprocess.run(command, env=clean | env, capture_output=True, text=True, timeout=60, check=False)


def from_hub(hub: Hub, url: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    with serve(hub.answer) as base:
        cache = str(tmp_path / "cache")
        return load(
            url, str(tmp_path / "dest"), HF_ENDPOINT=base, KUBEAI_CACHE_DIR=cache, HF_HUB_DISABLE_XET="1", **env
        )


def test_a_model_of_the_hub_arrives_as_a_directory(tmp_path: Path) -> None:
    done = from_hub(Hub(FILES), "hf://org/tiny", tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = {str(p.relative_to(tmp_path / "dest")): p.read_bytes() for p in (tmp_path / "dest").rglob("*.*")}
    assert loaded == FILES


def test_one_file_of_a_model_can_be_asked_for(tmp_path: Path) -> None:
    done = from_hub(Hub(FILES), "hf://org/tiny?model=weights/model.gguf", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dest" / "weights" / "model.gguf").read_bytes() == FILES["weights/model.gguf"]
    assert not (tmp_path / "dest" / "config.json").exists()


def test_patterns_choose_among_the_files(tmp_path: Path) -> None:  # fault C4
    hub = Hub(FILES | {"original/a.pth": b"a"})
    done = from_hub(hub, "hf://org/tiny?allow=*.json,original/&ignore=*.pth", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "dest").rglob("*") if path.is_file()] == ["config.json"]
    assert not any("a.pth" in request for request in hub.requests)


def test_a_gguf_file_in_pieces_comes_as_a_whole(tmp_path: Path) -> None:
    pieces = {f"m-0000{n}-of-00002.gguf": bytes([n]) for n in (1, 2)}
    done = from_hub(Hub(FILES | pieces), "hf://org/tiny?model=m-00001-of-00002.gguf", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "dest").iterdir()} == pieces


def test_a_killed_download_from_the_hub_goes_on_where_it_was(tmp_path: Path) -> None:  # fault C4
    content = os.urandom(2 * RANGE_BYTES + 7)
    hub = Hub({"large.bin": content, "config.json": b"{}"})
    hub.etags["large.bin"] = hashlib.sha256(content).hexdigest()
    killed = threading.Event()

    def all_but_the_first_wait(exchange: Exchange) -> None:
        if not (exchange.headers.get("Range") or "").startswith("bytes=0-"):
            killed.wait(60)

    hub.before = all_but_the_first_wait
    with serve(hub.answer) as base:
        environ = {"HF_ENDPOINT": base, "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-m", "kubeai.loader", "hf://org/tiny", str(tmp_path / "dest")]
        with subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL) as process:
            await_line(tmp_path / "dest", "*.journal", "0\n")
            process.kill()
        killed.set()
        hub.ranges.clear()
        done = load("hf://org/tiny", str(tmp_path / "dest"), **environ)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dest" / "large.bin").read_bytes() == content
    asked = {wanted for wanted in hub.ranges if wanted}
    assert asked == {f"bytes={RANGE_BYTES}-{2 * RANGE_BYTES - 1}", f"bytes={2 * RANGE_BYTES}-{2 * RANGE_BYTES + 6}"}


def test_two_replicas_that_start_together_share_one_download_from_the_hub(tmp_path: Path) -> None:
    content = os.urandom(2 * RANGE_BYTES + 7)
    hub = Hub({"large.bin": content})
    hub.etags["large.bin"] = hashlib.sha256(content).hexdigest()
    second_looks = threading.Event()

    def wait(_: Exchange) -> None:
        second_looks.wait(60)

    hub.before = wait
    with serve(hub.answer) as base:
        environ = {
            **os.environ,
            "HF_ENDPOINT": base,
            "HF_HUB_DISABLE_XET": "1",
            "KUBEAI_CACHE_DIR": str(tmp_path / "c"),
        }

        def start(dest: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "kubeai.loader", "hf://org/tiny", str(tmp_path / dest)]
            return subprocess.Popen(command, env=environ)

        with start("a") as first:
            await_line(tmp_path / "c", "*.journal", "")
            hub.on_listing = second_looks.set
            with start("b") as second:
                assert (first.wait(60), second.wait(60)) == (0, 0)
    assert [(tmp_path / dest / "large.bin").read_bytes() for dest in "ab"] == [content, content]
    asked = [wanted for wanted in hub.ranges if wanted]
    assert len(asked) == len(set(asked)) == 3


def test_a_hub_without_ranges_is_left_to_its_own_client(tmp_path: Path) -> None:
    content = os.urandom(2 * RANGE_BYTES)
    hub = Hub({"large.bin": content})
    hub.etags["large.bin"] = hashlib.sha256(content).hexdigest()
    hub.has_ranges = False
    done = from_hub(hub, "hf://org/tiny?model=large.bin", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dest" / "large.bin").read_bytes() == content


@pytest.mark.parametrize(
    "away",
    [
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, id="that is down"),
        pytest.param({"HF_HUB_OFFLINE": "1"}, id="that is not to be asked"),
    ],
)
def test_without_the_hub_a_part_of_a_model_is_not_taken_for_the_whole(  # fault C4
    tmp_path: Path, away: dict[str, str]
) -> None:
    assert from_hub(Hub(FILES), "hf://org/tiny?model=weights/model.gguf", tmp_path).returncode == 0
    environ = {"KUBEAI_CACHE_DIR": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1", **away}
    done = load("hf://org/tiny", str(tmp_path / "whole"), **environ)
    assert done.returncode == 1
    assert "only a part of the model" in done.stderr
    assert from_hub(Hub(FILES), "hf://org/tiny", tmp_path).returncode == 0
    assert load("hf://org/tiny", str(tmp_path / "whole"), **environ).returncode == 0
    for snapshot in (tmp_path / "cache").rglob("config.json"):
        snapshot.unlink()  # somebody has made room
    assert load("hf://org/tiny", str(tmp_path / "again"), **environ).returncode == 1


def test_without_the_hub_a_cache_that_somebody_else_has_filled_is_taken_as_it_is(tmp_path: Path) -> None:
    assert from_hub(Hub(FILES), "hf://org/tiny", tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "cache" / "huggingface" / ".complete")
    environ = {"KUBEAI_CACHE_DIR": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    assert load("hf://org/tiny", str(tmp_path / "again"), **environ).returncode == 0


def test_without_the_hub_what_a_server_has_loaded_by_itself_is_found(tmp_path: Path) -> None:
    assert from_hub(Hub(FILES), "hf://org/tiny", tmp_path).returncode == 0
    for record in (tmp_path / "cache" / "huggingface" / ".complete").rglob("*.json"):
        record.unlink()  # servers keep none, but their library has a list of its own
    environ = {"KUBEAI_CACHE_DIR": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    assert load("hf://org/tiny", str(tmp_path / "again"), **environ).returncode == 0


def test_a_large_file_is_believed_by_its_hash_only(tmp_path: Path) -> None:  # fault C4
    hub = Hub(FILES)
    hub.etags["weights/model.gguf"] = "0" * 64
    done = from_hub(hub, "hf://org/tiny", tmp_path)
    assert done.returncode == 1
    assert "arrived with SHA-256" in done.stderr
    hub.etags["weights/model.gguf"] = hashlib.sha256(FILES["weights/model.gguf"]).hexdigest()
    assert from_hub(hub, "hf://org/tiny", tmp_path).returncode == 0


def test_what_a_killed_load_has_left_is_checked_by_the_next(tmp_path: Path) -> None:
    hub, wrong = Hub(FILES), "0" * 64
    hub.etags["weights/model.gguf"] = wrong
    killed = threading.Event()

    def the_other_file_waits(exchange: Exchange) -> None:
        if exchange.path.endswith("config.json"):
            killed.wait(60)

    hub.before = the_other_file_waits
    cache = tmp_path / "cache"
    with serve(hub.answer) as base:
        environ = {"HF_ENDPOINT": base, "HF_HUB_DISABLE_XET": "1", "KUBEAI_CACHE_DIR": str(cache)}
        command = [sys.executable, "-m", "kubeai.loader", "hf://org/tiny", str(tmp_path / "dest")]
        with subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL) as process:
            await_file(cache / "huggingface/models--org--tiny/blobs" / wrong)
            process.kill()
        killed.set()
        done = load("hf://org/tiny", str(tmp_path / "dest"), **environ)
    assert done.returncode == 1
    assert "arrived with SHA-256" in done.stderr


def test_a_directory_goes_to_a_repository_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "config.json").write_bytes(b"{}")
    hub = Hub({})
    with serve(hub.answer) as base:
        done = load(f"file://{tmp_path}/src", "hf://org/copy", HF_ENDPOINT=base, HF_TOKEN="t", HF_HUB_DISABLE_XET="1")
    assert done.returncode == 0, done.stderr
    assert hub.written == {"config.json": b"{}"}


def test_progress_is_told_in_lines(tmp_path: Path) -> None:
    done = from_hub(Hub(FILES), "hf://org/tiny?model=config.json", tmp_path)
    assert done.stdout.splitlines()[-1] == f"loaded hf://org/tiny?model=config.json into {tmp_path / 'dest'}"
    assert any(line.startswith("loading org/tiny: ") for line in done.stdout.splitlines())


def test_a_cached_model_needs_no_hub(tmp_path: Path) -> None:
    from_hub(Hub(FILES), "hf://org/tiny", tmp_path)
    offline = {"HF_HUB_OFFLINE": "1", "KUBEAI_CACHE_DIR": str(tmp_path / "cache")}
    done = load("hf://org/tiny", str(tmp_path / "again"), **offline)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "config.json").exists()


@pytest.mark.parametrize(
    ("hub", "url", "message"),
    [
        pytest.param(Hub(FILES), "hf://org/none", "there is no such model on the hub, or it is private", id="model"),
        pytest.param(Hub(FILES), "hf://org/tiny?model=x", "the model has no such file", id="file"),
        pytest.param(Hub(FILES, token="t"), "hf://org/tiny", "the model is gated", id="gated"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(
    hub: Hub, url: str, message: str, tmp_path: Path
) -> None:
    done = from_hub(hub, url, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {url}: {message}")
    assert done.stderr.count("\n") == 1


def test_the_token_of_the_environment_opens_a_gated_model(tmp_path: Path) -> None:
    assert from_hub(Hub(FILES, token="t"), "hf://org/tiny", tmp_path, HF_TOKEN="t").returncode == 0


def test_a_wrong_call_shows_the_usage() -> None:
    done = load("hf://org/tiny")
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "usage")
