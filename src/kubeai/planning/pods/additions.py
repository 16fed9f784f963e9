"""What one concern adds to a container, and to the Pod for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Additions:
    """What a container gets, and the Pod's volumes that it needs for it."""

    env: tuple[JSON, ...] = ()
    volumes: tuple[JSON, ...] = ()
    mounts: tuple[JSON, ...] = ()

    def __add__(self, other: Additions) -> Additions:
        return Additions(self.env + other.env, self.volumes + other.volumes, self.mounts + other.mounts)
