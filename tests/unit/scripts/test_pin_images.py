"""Base images are pinned by what their registry says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.pin_images import main
from tests.unit.loader.servers import Exchange, serve

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"


def registry(exchange: Exchange) -> None:
    """One image, which anonymous readers need a token for, as in Docker's own registry."""
    if exchange.path.startswith("/token?"):
        assert "scope=repository%3Alibrary%2Fpython%3Apull" in exchange.path
        exchange.send_json({"token": "t"})
    elif exchange.headers.get("Authorization") != "Bearer t":
        realm = f"http://{exchange.headers['Host']}/token"
        challenge = f'Bearer realm="{realm}",service="s",scope="repository:library/python:pull"'
        exchange.send(b"", 401, {"WWW-Authenticate": challenge})
    elif exchange.path == "/v2/library/python/manifests/3.13.7-slim":
        assert "index" in exchange.headers["Accept"]
        exchange.send(b"", 200, {"Docker-Content-Digest": DIGEST})
    else:
        exchange.send(b"", 404)


@pytest.fixture
def image() -> Iterator[str]:
    with serve(registry) as url:
        yield f"{url.removeprefix('http://')}/library/python"


@pytest.mark.parametrize(
    ("base", "code"),
    [
        pytest.param("3.13.7-slim", 1, id="a base without a digest fails the check"),
        pytest.param(f"3.13.7-slim@{OTHER}", 1, id="so does another digest than the tag's"),
        pytest.param(f"3.13.7-slim@{DIGEST}", 0, id="the tag's own passes"),
    ],
)
def test_a_check_changes_nothing_and_a_run_writes_the_digest(image: str, base: str, code: int, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    text = "# a comment\nARG BASE={}\n\nFROM ${{BASE}} AS build\n"
    dockerfile.write_text(text.format(f"{image}:{base}"))
    assert main(["--check"], [dockerfile]) == code
    assert dockerfile.read_text() == text.format(f"{image}:{base}")
    assert main([], [dockerfile]) == 0
    assert dockerfile.read_text() == text.format(f"{image}:3.13.7-slim@{DIGEST}")


def test_a_tag_that_does_not_exist_is_said_plainly(image: str, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f"ARG BASE={image}:none\n")
    with pytest.raises(SystemExit, match=r"python:none: the registry cannot be asked .*404"):
        main([], [dockerfile])
