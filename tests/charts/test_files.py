"""What has to be alike in the charts, the images and the package. Needs no Helm."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import kubeai
from kubeai.config.system import DEFAULT_IMAGES
from scripts import helm_schema

from .helm import KUBEAI, MODELS, ROOT

DOCKERFILES = [ROOT / "Dockerfile", ROOT / "components" / "model-loader" / "Dockerfile"]
PINNED = sorted((ROOT / "components").glob("*/requirements.txt"))


def values() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((KUBEAI / "values.yaml").read_text())
    return data


def test_the_charts_crd_is_the_generated_one() -> None:
    generated = ROOT / "manifests" / "crds" / "kubeai.org_models.yaml"
    ours = KUBEAI / "files" / "kubeai.org_models.yaml"
    assert ours.read_text() == generated.read_text(), f"cp {generated} {ours}"


def test_the_schemas_of_the_values_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["helm_schema.py", "--check"])
    assert helm_schema.main() == 0


@pytest.mark.parametrize("chart", [KUBEAI, MODELS], ids=lambda chart: str(chart.name))
def test_the_charts_version_is_the_packages(chart: Path) -> None:
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert about["appVersion"] == kubeai.__version__


def images(value: Any) -> Iterator[str]:
    """Those that are written as repository and tag."""
    if isinstance(value, dict):
        if "repository" in value:
            yield f"{value['repository']}:{value['tag'] or 'of-the-chart'}"
        for item in value.values():
            yield from images(item)


# fault R2
def test_no_image_has_a_moving_tag() -> None:
    servers = values()["modelServers"].values()
    found = [*images(values()), *(image for server in servers for image in server["images"].values())]
    assert len(found) > 15
    assert [image for image in found if not re.search(r":(?!latest|main)\S", image)] == []


@pytest.mark.parametrize("engine", sorted(DEFAULT_IMAGES))
def test_an_engines_default_image_is_that_of_the_program(engine: str) -> None:
    assert values()["modelServers"][engine]["images"]["default"] == dict(DEFAULT_IMAGES)[engine]  # type: ignore[index]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=["kubeai", "model-loader"])
def test_an_image_is_made_of_pinned_things_and_runs_as_nobody(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.search(r"^ARG BASE=\S+:\d+\.\d+\.\d+-[\w-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["65532:65532"]
    for install in re.findall(r"pip .*install .*", text):
        assert "--require-hashes" in install or "--no-deps --no-index" in install


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=["kubeai", "model-loader"])
def test_what_an_image_copies_exists_and_is_sent_to_the_builder(dockerfile: Path) -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    for source in " ".join(copies).split():
        assert (ROOT / source).exists()
        assert source.split("/")[0] in sent


def pins(requirements: Path) -> set[str]:
    return set(re.findall(r"^([\w.-]+==[\w.+!-]+)", requirements.read_text(), re.MULTILINE))


@pytest.mark.parametrize("requirements", PINNED, ids=lambda path: str(path.parent.name))
def test_an_image_has_the_versions_that_the_tests_run_with(requirements: Path) -> None:
    assert pins(requirements)
    assert pins(requirements) <= pins(ROOT / "requirements" / "dev.txt")
