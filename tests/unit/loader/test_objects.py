"""Models in buckets: `gs://` and `oss://` against a stand-in of the XML API that they share with S3.

A real S3 server is asked in `tests/stores`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

from kubeai.loader.errors import LoadError
from kubeai.loader.fetch import fetch, load
from kubeai.loader.parts import RANGE_BYTES
from tests.unit.loader.servers import Bucket, Exchange, serve

FILES = {"m/config.json": b"{}", "m/original/a.pth": b"a" * 2000, "m/model.safetensors": b"w" * 3000}
LARGE = os.urandom(2 * RANGE_BYTES + 7)


class Site:
    """A bucket behind a port, and a place to load it to."""

    def __init__(self, bucket: Bucket, base: str, root: Path) -> None:
        self.bucket = bucket
        self.base = base
        self.root = root
        self.told: list[tuple[int, int | None]] = []

    def load(self, url: str, *, cache: bool = False, dest: str = "dest") -> dict[str, bytes]:
        told = self.told
        fetch(
            url, self.root / dest, lambda _, done, total: told.append((done, total)), self.root / "c" if cache else None
        )
        return tree(self.root / dest)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    bucket = Bucket(FILES)
    with serve(bucket.answer) as base:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", base)
        monkeypatch.setenv("OSS_ENDPOINT", base)
        yield Site(bucket, base, tmp_path)


@pytest.mark.parametrize(
    ("url", "files"),
    [
        pytest.param("gs://weights/m", ["config.json", "model.safetensors", "original/a.pth"], id="a directory"),
        pytest.param("gs://weights/m/", ["config.json", "model.safetensors", "original/a.pth"], id="a trailing slash"),
        pytest.param("gs://weights", ["m/config.json", "m/model.safetensors", "m/original/a.pth"], id="a bucket"),
        pytest.param("gs://weights/m/config.json", ["config.json"], id="one object"),
        pytest.param("gs://weights/m?model=original/a.pth", ["original/a.pth"], id="one file of a directory"),
        pytest.param("oss://weights/m?ignore=original/", ["config.json", "model.safetensors"], id="patterns"),
    ],
)
def test_what_a_url_brings(site: Site, url: str, files: list[str]) -> None:  # fault C4
    loaded = site.load(url)
    assert sorted(loaded) == files
    assert set(loaded.values()) <= set(FILES.values())


REFUSALS = {
    "nothing there": ("gs://weights/none", "there is no such bucket or object"),
    "no such file": ("gs://weights/m?model=x.gguf", "there is no object 'x.gguf' below gs://weights/m"),
    "nothing selected": ("gs://weights/m?allow=*.gguf", r"none of the 3 objects is selected by allow \*\.gguf"),
}


@pytest.mark.parametrize(("url", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_is_missing_is_named(site: Site, url: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        site.load(url)


def test_a_folders_own_empty_object_is_no_file(site: Site) -> None:
    site.bucket.objects |= {"m/": b"", "m/original/": b"", "m/empty": b""}
    assert sorted(site.load("gs://weights/m")) == ["config.json", "empty", "model.safetensors", "original/a.pth"]


def test_large_objects_come_in_ranges_and_progress_counts_all_bytes_once(site: Site) -> None:
    site.bucket.objects = {"m/large": LARGE, "m/small": b"s"}
    assert site.load("gs://weights/m") == {"large": LARGE, "small": b"s"}
    assert site.told[-1] == (len(LARGE) + 1, len(LARGE) + 1)
    assert len([wanted for wanted in site.bucket.ranges if wanted != "bytes=0-0"]) == 3


def test_a_disk_that_takes_a_part_of_a_piece_gets_the_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, position: pwrite(file, data[:1000], position))
    site.bucket.objects = {"m/large": LARGE[:10_000]}
    assert site.load("gs://weights/m") == {"large": LARGE[:10_000]}


def test_an_answer_that_breaks_off_is_asked_for_again(site: Site) -> None:  # fault C4
    site.bucket.objects = {"m/f": b"0123456789" * 1000}
    site.bucket.breaks = 2
    assert site.load("gs://weights/m") == {"f": b"0123456789" * 1000}
    assert site.told[-1] == (10_000, 10_000)


def test_a_killed_download_goes_on_where_it_was(site: Site) -> None:  # fault C4
    """Killed when the first range is on the disk and the others have not begun to come."""
    site.bucket.objects = {"m/large": LARGE}
    killed = threading.Event()

    def all_but_the_first_wait(exchange: Exchange) -> None:
        if not (exchange.headers.get("Range") or "").startswith("bytes=0-"):
            killed.wait(60)

    site.bucket.before = all_but_the_first_wait
    command = [sys.executable, "-m", "kubeai.loader", "gs://weights/m", str(site.root / "dest")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        await_line(site.root / "dest", "*.journal", "0\n")
        process.send_signal(signal.SIGKILL)
    killed.set()
    site.bucket.ranges.clear()
    assert site.load("gs://weights/m") == {"large": LARGE}
    assert f"bytes=0-{RANGE_BYTES - 1}" not in site.bucket.ranges
    assert f"bytes={RANGE_BYTES}-{2 * RANGE_BYTES - 1}" in site.bucket.ranges


def await_line(root: Path, pattern: str, line: str) -> None:
    _await(f"no {pattern} with {line!r}", lambda: _has_line(root, pattern, line))


def await_file(path: Path) -> None:
    _await(f"no {path}", path.exists)


def _await(otherwise: str, holds: Callable[[], bool]) -> None:
    for _ in range(6000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError(otherwise)


def _has_line(root: Path, pattern: str, line: str) -> bool:
    try:
        return any(line in path.read_text().partition("\n")[2] for path in root.rglob(pattern))
    except FileNotFoundError:  # it has just gone
        return False


def test_a_stopped_download_ends_at_once(site: Site) -> None:
    """As the first process of a container it would ignore the signal if it did not ask for it."""
    asked, stopped = threading.Event(), threading.Event()

    def wait(_: Exchange) -> None:
        asked.set()
        stopped.wait(60)

    site.bucket.before = wait
    command = [sys.executable, "-m", "kubeai.loader", "gs://weights/m", str(site.root / "dest")]
    with subprocess.Popen(command) as process:
        assert asked.wait(60)
        process.terminate()
        try:
            assert process.wait(20) == 130
        finally:
            stopped.set()


def test_an_object_that_changes_on_the_way_is_not_sewn_together(site: Site) -> None:
    def change(_: Exchange) -> None:
        site.bucket.objects["m/f"] = b"new" * 100

    site.bucket.objects = {"m/f": b"old" * 100}
    site.bucket.before = change
    with pytest.raises(LoadError, match="was changed while it was being loaded"):
        site.load("gs://weights/m")


def test_a_hash_among_the_metadata_is_believed_and_nothing_else(site: Site) -> None:  # fault C4
    site.bucket.metadata["m/config.json"] = {"x-goog-meta-sha256": "0" * 64}
    with pytest.raises(LoadError, match=r"m/config.json: has arrived with SHA-256 4.* and not 0{64}; load again"):
        site.load("gs://weights/m")


def test_the_second_replica_loads_nothing_and_a_new_version_is_noticed(site: Site) -> None:
    site.load("gs://weights/m", cache=True)
    site.bucket.ranges.clear()
    site.load("gs://weights/m", cache=True, dest="second")
    assert site.bucket.ranges == []
    site.bucket.objects["m/config.json"] = b'{"new": 1}'
    assert site.load("gs://weights/m", cache=True, dest="third")["config.json"] == b'{"new": 1}'
    assert len(list((site.root / "c/objects/gs/weights/m/config.json").iterdir())) == 1


def test_a_slow_download_delays_no_other_of_its_bucket_and_is_shared(site: Site) -> None:  # fault O1
    site.bucket.objects = {"slow/f": LARGE, "fast/f": b"f"}
    asked, goes_on = threading.Event(), threading.Event()

    def slow(exchange: Exchange) -> None:
        if "slow" in exchange.path:
            asked.set()
            goes_on.wait(60)

    site.bucket.before = slow
    with ThreadPoolExecutor() as pool:
        try:
            first = pool.submit(site.load, "gs://weights/slow", cache=True)
            assert asked.wait(60)
            second = pool.submit(site.load, "gs://weights/slow?model=f", cache=True, dest="second")
            other = pool.submit(site.load, "gs://weights/fast", cache=True, dest="other")
            assert other.result(60) == {"f": b"f"}
        finally:
            goes_on.set()
        assert first.result(60) == second.result(60) == {"f": LARGE}
    parts = [wanted for wanted in site.bucket.ranges if wanted.startswith(f"bytes={RANGE_BYTES}-")]
    assert len(parts) == 1


def test_a_store_that_is_down_does_not_keep_a_complete_model_from_starting(site: Site) -> None:
    site.load("oss://weights/m", cache=True)
    site.bucket.down = True
    assert len(site.load("oss://weights/m", cache=True, dest="again")) == 3
    with pytest.raises(LoadError, match="503 Service Unavailable"):
        site.load("oss://weights/m?model=config.json", cache=True, dest="other")


def test_a_directory_goes_up_with_its_hashes_and_again_without_traffic(site: Site, tmp_path: Path) -> None:
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "a").write_bytes(b"a")
    for _ in range(2):
        load(f"file://{tmp_path}/src", "gs://weights/copy", lambda *_: None)
    assert site.bucket.objects["copy/sub/a"] == b"a"
    assert list(site.bucket.metadata["copy/sub/a"].values()) == [
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    ]
    puts = [unquote(request) for request in site.bucket.requests if request.startswith("PUT")]
    assert puts == ["PUT /weights/copy/sub/a"]


def test_a_cache_that_is_not_there_yet_is_made_on_the_way_to_another_store(site: Site, tmp_path: Path) -> None:
    load("gs://weights/m/config.json", "gs://weights/copy", lambda *_: None, tmp_path / "new" / "cache")
    assert site.bucket.objects["copy/config.json"] == b"{}"


def test_a_destination_that_nobody_can_write_to_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="can be written to"):
        load(f"file://{tmp_path}", "ollama://m", lambda *_: None)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a key with openssl")
def test_a_service_accounts_key_signs_for_google(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True)
    account = {"type": "service_account", "client_email": "a@b", "private_key": made.stdout, "private_key_id": "1"}
    (tmp_path / "key.json").write_text(json.dumps(account))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_BASE_URL", site.base)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    site.load("gs://weights/m")
    (token,) = site.bucket.credentials
    assert token is not None
    assert token.startswith("Bearer ey")


def test_a_role_of_alibaba_cloud_signs_for_oss(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[str]] = {}

    def sts(exchange: Exchange) -> None:
        asked.update(parse_qs(exchange.rfile.read(int(exchange.headers["Content-Length"])).decode()))
        keys = {
            "AccessKeyId": "STS.key",
            "AccessKeySecret": "s",
            "SecurityToken": "t",
            "Expiration": "2099-01-02T03:04:05Z",
        }
        exchange.send_json({"Credentials": keys})

    (tmp_path / "token").write_text("jwt\n")
    with serve(sts) as base:
        monkeypatch.setenv("ALIBABA_CLOUD_STS_ENDPOINT", base)
        monkeypatch.setenv("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r")
        monkeypatch.setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/p")
        monkeypatch.setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", str(tmp_path / "token"))
        site.load("oss://weights/m")
    assert (asked["Action"], asked["OIDCToken"]) == (["AssumeRoleWithOIDC"], ["jwt"])
    assert all(token and "Credential=STS.key/" in token for token in site.bucket.credentials)
