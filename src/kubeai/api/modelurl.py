"""Where a model's weights come from, taken apart: `hf://org/name?model=file`, `pvc://claim/path`, ...

The CRD only checks the scheme, so that what is stored by an older version can always be read; what stands behind the
scheme is checked here, and a fault becomes a condition of the Model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl

#: Schemes of the reference, and three of our own: a wheel of a Python package index, a path on this machine, and a
#: container image.
REFERENCE_SCHEMES = ("hf", "pvc", "ollama", "s3", "gs", "oss")
OWN_SCHEMES = ("pypi", "file", "oci")
SCHEMES = REFERENCE_SCHEMES + OWN_SCHEMES
#: Sources that a cache profile can copy to a shared volume.
CACHEABLE_SCHEMES = ("hf", "s3", "gs", "oss")
#: Sources that nothing but a cache profile can read.
CACHE_ONLY_SCHEMES = ("gs", "oss")
ADAPTER_SCHEMES = ("hf", "s3", "gs", "oss", "pypi", "file")

_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<ref>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL)
# Space and control characters never belong to a source, and are the stuff of smuggled arguments (fault O8).
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
#: A registry, repositories, and a tag or digest: without one of the two nobody knows what is served.
_IMAGE = re.compile(
    r"[a-zA-Z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


class ModelURLError(ValueError):
    """The url names no source; the Model's author must change it, a retry does not help."""


@dataclass(frozen=True, slots=True)
class ModelURL:
    """One source. `name` and `path` are the two parts of `ref` where the scheme has two.

    hf, ollama: name is the whole ref; pvc: claim and path in it; s3, gs, oss: bucket and key; pypi: package (with
    `version`) and path in it; file: path only; oci: the image, and the path in it that `?path=` names.
    """

    raw: str
    scheme: str
    ref: str
    name: str = ""
    path: str = ""
    version: str = ""
    params: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def source(self) -> str:
        """The url without its parameters."""
        return f"{self.scheme}://{self.ref}"

    @property
    def insecure(self) -> bool:
        return self.params.get("insecure") == "true"

    @property
    def pull(self) -> bool:
        return self.params.get("pull") != "false"

    @property
    def model(self) -> str | None:
        """The model (or file) inside the source that `?model=` names."""
        return self.params.get("model")


def parse_model_url(url: str) -> ModelURL:
    """Raises `ModelURLError` that says what is wrong with the url."""
    match = _URL.fullmatch(url)
    if match is None or match["scheme"] not in SCHEMES:
        expected = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ModelURLError(f"url {url!r}: must start with one of {expected}")
    if _UNPRINTABLE.search(url):
        raise ModelURLError(f"url {url!r}: must not contain spaces or control characters")
    scheme, ref = match["scheme"], match["ref"]
    params = _params(match["query"] or "")
    name, path, version = _image(ref, params, url) if scheme == "oci" else _split(scheme, ref, url)
    return ModelURL(url, scheme, ref, name, path, version, params)


def _split(scheme: str, ref: str, url: str) -> tuple[str, str, str]:
    """Name, path and version."""
    if not ref:
        raise ModelURLError(f"url {url!r}: nothing follows {scheme}://")
    if scheme in ("hf", "ollama"):
        return ref, "", ""
    if scheme == "file":
        return "", _path(_absolute(ref, url), url), ""
    name, _, path = ref.partition("/")
    if not name:
        raise ModelURLError(f"url {url!r}: a name must follow {scheme}://")
    if scheme == "pypi":
        return _pypi(name, _path(path, url), url)
    return name, _path(path, url) if scheme == "pvc" else path, ""


def _image(ref: str, params: Mapping[str, str], url: str) -> tuple[str, str, str]:
    found = _IMAGE.fullmatch(ref)
    if found is None or not (found[4] or found[5]):
        raise ModelURLError(
            f"url {url!r}: must name an image with its tag or digest, as in oci://registry.example.com/models/m:v1"
        )
    return ref, _path(params.get("path", ""), url).strip("/"), ""


def _absolute(ref: str, url: str) -> str:
    if not ref.startswith("/"):
        raise ModelURLError(f"url {url!r}: needs an absolute path, as in file:///models/my-model")
    return ref


def _path(path: str, url: str) -> str:
    """A path that stays inside its volume, wheel or directory."""
    if ".." in path.split("/"):
        raise ModelURLError(f"url {url!r}: the path must not contain '..'")
    return path.rstrip("/") or path[:1]


def _pypi(name: str, path: str, url: str) -> tuple[str, str, str]:
    package, at, version = name.partition("@")
    good = at and _PACKAGE.fullmatch(package) and _VERSION.fullmatch(version)
    if not good or not path.strip("/"):
        raise ModelURLError(f"url {url!r}: must have the form pypi://PACKAGE@VERSION/PATH-IN-PACKAGE")
    return package, path.lstrip("/"), version


def _params(query: str) -> Mapping[str, str]:
    """The first value of each parameter."""
    return MappingProxyType(dict(reversed(parse_qsl(query, keep_blank_values=True))))
