"""An image's bill of materials says what is in it, and a build that is not as pinned fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from components import sbom

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "components").glob("*/requirements.txt"))


def environment(directory: Path, packages: Mapping[str, str]) -> Path:
    site = directory / "lib" / "python3.13" / "site-packages"
    for name, version in packages.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
        (info / "METADATA").write_text(head)
    return directory


def bill(requirements: Path, where: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str | None]:
    sbom.main("kubeai", requirements, where)
    written = json.loads(capsys.readouterr().out)
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    return {part["name"]: part["version"] for part in written["components"] if "pypi" in part.get("purl", "")}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.parent.name))
def test_every_locked_package_is_listed(lock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = sbom.pins(lock.read_text())
    assert len(locked) > 5
    packages = locked | {"kubeai": "1", "pip": "25"}
    assert bill(lock, environment(tmp_path, packages), capsys) == packages


def test_what_is_pinned_for_another_platform_is_not_expected() -> None:
    here = "a==1 \\\n    --hash=sha256:0\n    # via b\n"
    there = "only-there==2 ; sys_platform == 'win32' \\\n    --hash=sha256:1\n"
    assert sbom.pins(here + there) == {"a": "1"}


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        pytest.param({"kubeai": "1"}, r"not installed as pinned: \['a==1'\]", id="a missing package"),
        pytest.param({"kubeai": "1", "a": "2"}, r"not installed as pinned: \['a==1'\]", id="another version"),
        pytest.param({"kubeai": "1", "a": "1", "b": "1"}, r"without a pin: \['b==1'\]", id="one that nobody pinned"),
        pytest.param({"a": "1"}, "kubeai has to be there", id="without KubeAI itself"),
    ],
)
def test_a_build_that_is_not_as_pinned_fails(installed: dict[str, str], said: str, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a==1\n")
    with pytest.raises(SystemExit, match=said):
        sbom.main("kubeai", requirements, environment(tmp_path / "env", installed))
