"""The configuration of one machine: a cluster's own file is good here, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeai.app.local_system import LOCAL_IMAGES, local_system
from kubeai.config.load import ConfigError

EXAMPLE = Path(__file__).parents[2] / "data/examples/system.yaml"


def test_every_engine_has_a_local_image() -> None:
    servers = local_system(None).model_servers
    assert {engine: server.images["default"] for engine, server in servers.items()} == LOCAL_IMAGES


def test_a_clusters_file_keeps_its_profiles_and_image_names_but_runs_local_images() -> None:
    system = local_system(EXAMPLE)
    assert "nvidia-gpu-l4" in system.resource_profiles
    assert set(system.model_servers["VLLM"].images) >= {"default", "cpu", "gh200"}
    assert {image for server in system.model_servers.values() for image in server.images.values()} == set(
        LOCAL_IMAGES.values()
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid YAML"),
        ("- a", "expected a mapping"),
        ("resourceProfile: {}", "resourceProfile"),
        ("resourceProfiles: {}\nresourceProfiles: {}", "given twice"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigError, match=says) as caught:
        local_system(path)
    assert str(path) in str(caught.value)


def test_an_empty_file_and_keys_without_a_value_leave_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    for text in ("", "# nothing yet", "resourceProfiles:\nmodelAutoscaling:"):
        path.write_text(text)
        assert local_system(path) == local_system(None)
