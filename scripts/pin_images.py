"""Pins the base images of the Dockerfiles by digest, as the registry has them now.

    python scripts/pin_images.py            writes the digest that each tag has now
    python scripts/pin_images.py --check    writes nothing; fails if a base has no digest, or another one than its tag

A digest fixes the bytes of the base: it does not change under us, and it gets no security fixes unless this is run.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILES = (ROOT / "Dockerfile", ROOT / "components" / "model-loader" / "Dockerfile")
#: Docker's own registry is not at the address that its images are named by.
HOSTS = {"docker.io": "registry-1.docker.io"}
#: An index comes before the images of single platforms: the pin has to be good for all of them.
KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
BASE = re.compile(r"^(ARG BASE=)(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Image:
    """`REGISTRY/REPOSITORY:TAG[@DIGEST]`."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Image:
        parts = re.fullmatch(r"([^/]+)/([^:@]+):([\w.-]+)(?:@(sha256:[0-9a-f]{64}))?", text)
        if parts is None:
            raise SystemExit(f"{text!r} is not REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY:TAG@DIGEST")
        return cls(*(part or "" for part in parts.groups()))

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


def main(arguments: Sequence[str] = (), dockerfiles: Sequence[Path] = DOCKERFILES) -> int:
    check = "--check" in arguments
    bad = 0
    for path in dockerfiles:
        text = path.read_text(encoding="utf-8")
        (found,) = BASE.finditer(text)
        image = Image.parse(found[2])
        now = Image(image.registry, image.repository, image.tag, resolve(image))
        if now == image:
            print(f"{path.name}: {image} is what the tag stands for")
        elif check:
            bad += 1
            print(f"{path.name}: {image} should be {now}: run scripts/pin_images.py")
        else:
            path.write_text(text[: found.start(2)] + str(now) + text[found.end(2) :], encoding="utf-8")
            print(f"{path.name}: {now} written")
    return 1 if bad else 0


def resolve(image: Image) -> str:
    """The digest that the tag has in its registry."""
    host = HOSTS.get(image.registry, image.registry)
    scheme = "http" if host.startswith(("localhost:", "127.0.0.1:")) else "https"
    url = f"{scheme}://{host}/v2/{image.repository}/manifests/{image.tag}"
    try:
        try:
            return _digest(url, {})
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            return _digest(url, {"Authorization": f"Bearer {_token(error.headers['WWW-Authenticate'])}"})
    except OSError as error:
        raise SystemExit(f"{image}: the registry cannot be asked for its digest: {error}") from error


def _digest(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": ", ".join(KINDS), **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        digest: str = answer.headers["Docker-Content-Digest"] or ""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise OSError(f"{url} was answered without a digest")
    return digest


def _token(challenge: str) -> str:
    """What an anonymous reader gets from the place that the registry names."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = fields.pop("realm")
    with urllib.request.urlopen(f"{realm}?{urlencode(fields)}", timeout=30) as answer:
        return str(json.load(answer)["token"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
