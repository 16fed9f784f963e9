"""What the Pod builder must know of an engine, and what it tells the engine's own file.

An engine is one value: how its server is told what to serve, where it can take weights from, and how its health is
asked for. Everything else about a Pod is the same for all and lives in `planning.pods`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kubeai.api.modelurl import ModelURL
from kubeai.planning.pods.probes import Probes

PORT = 8000
MODEL_DIRECTORY = "/model"


class Fetch(Enum):
    """Who brings the weights to the server."""

    SERVER = "the server downloads them by itself"
    LOADER = "an init container downloads them into a directory"
    CLAIM = "they lie on a PersistentVolumeClaim"
    HOST = "they lie on the machine"
    IMAGE = "they lie in a container image"
    CACHE = "they lie on the cache's volume"


class AdapterLoading(Enum):
    """When a server takes LoRA adapters."""

    WHILE_RUNNING = "the operator loads and unloads them while the server runs"
    AT_START = "the server is started with them, and knows them by number"


#: Sources that an engine has as soon as it takes a directory.
DIRECTORY_SOURCES: Mapping[str, Fetch] = {
    "pvc": Fetch.CLAIM,
    "file": Fetch.HOST,
    "oci": Fetch.IMAGE,
    "pypi": Fetch.LOADER,
}


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the server finds its weights."""

    fetch: Fetch
    #: The directory in the container; None when the server downloads them by itself.
    directory: str | None = None
    #: The file in it, for engines that take one file.
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """What an engine needs to know of the Model."""

    name: str
    source: ModelURL
    weights: Weights
    features: frozenset[str] = frozenset()
    args: tuple[str, ...] = ()
    #: Adapters will be loaded while it runs.
    adapters: bool = False
    #: Files of the adapters that it is started with.
    adapter_files: tuple[str, ...] = ()
    loader_image: str = ""

    @property
    def reference(self) -> str:
        """The model as a server that takes a directory or a name of the hub is told."""
        return self.weights.directory or self.source.ref

    @property
    def revision(self) -> str | None:
        """Which revision of the hub's repository the server itself is to download, if the url says so."""
        by_itself = self.weights.fetch is Fetch.SERVER and self.source.scheme == "hf"
        return self.source.params.get("revision") if by_itself else None


@dataclass(frozen=True, slots=True)
class Server:
    """How the engine's server is started."""

    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    #: Further containers: name, image, args, ports and probes; the builder adds what all containers share.
    sidecars: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of model server."""

    name: str
    serve: Callable[[Launch], Server]
    probes: Probes
    #: Scheme of the url -> who fetches it. A scheme that is not here cannot be served without a cache.
    sources: Mapping[str, Fetch] = field(default_factory=dict)
    #: Suffix of the one file that it takes as weights, for engines that do not take a directory.
    weights_suffix: str | None = None
    #: Whether it can be served from a directory that others have filled, as a cache is.
    directories: bool = True
    #: None: it has none.
    adapters: AdapterLoading | None = None
