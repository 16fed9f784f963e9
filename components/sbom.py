"""Writes the bill of materials of an image while it is built: CycloneDX, as JSON, on standard output.

    python sbom.py NAME REQUIREMENTS ENVIRONMENT

It lists what is really in the environment, and in the Debian that it stands on. Where that is not exactly what
REQUIREMENTS pins (and NAME itself) the build fails. The same build gives the same text: no time, no random number.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

DPKG_STATUS = Path("/var/lib/dpkg/status")
#: Installs packages and is not installed by a pin.
INSTALLERS = {"pip"}


def main(name: str, requirements: Path, environment: Path) -> None:
    (packages,) = environment.glob("lib/python3*/site-packages")
    installed = {canonical(found.name): found for found in distributions(path=[str(packages)])}
    compare(pins(requirements.read_text(encoding="utf-8")), installed, name)
    debian = list(debian_packages(DPKG_STATUS.read_text(encoding="utf-8"))) if DPKG_STATUS.exists() else []
    print(json.dumps(bill(name, installed, debian), indent=1))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(requirements: str) -> dict[str, str]:
    """Name -> version of what is pinned for this platform."""
    found = {}
    for line in requirements.replace("\\\n", " ").splitlines():
        text = line.partition("#")[0].partition("--hash")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonical(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def compare(pinned: Mapping[str, str], installed: Mapping[str, Distribution], own: str) -> None:
    """Ends the build if the environment is not what is pinned."""
    really = {name: found.version for name, found in installed.items() if name not in {own, *INSTALLERS}}
    if own not in installed or really != pinned:
        missing = sorted(f"{name}=={version}" for name, version in pinned.items() - really.items())
        unknown = sorted(f"{name}=={version}" for name, version in really.items() - pinned.items())
        sys.exit(f"sbom: not installed as pinned: {missing}; installed without a pin: {unknown}; {own} has to be there")


def bill(own: str, installed: Mapping[str, Distribution], debian: list[dict[str, Any]]) -> dict[str, Any]:
    python = {"type": "platform", "name": "python", "version": platform.python_version()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": own, "version": installed[own].version}},
        "components": [python, *(python_package(installed[name]) for name in sorted(installed)), *debian],
    }


def python_package(found: Distribution) -> dict[str, Any]:
    name = canonical(found.name)
    component = {
        "type": "library",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{found.version}",
    }
    licences = found.metadata.get_all("License-Expression") or ()
    return component | {"licenses": [{"expression": licence} for licence in licences]}


def debian_packages(status: str) -> Iterator[dict[str, Any]]:
    """What dpkg has installed."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
            purl = f"pkg:deb/debian/{name}@{version}?arch={architecture}"
            yield {"type": "library", "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
