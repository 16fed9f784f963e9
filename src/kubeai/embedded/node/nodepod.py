"""A Pod as the node agent reads it: whole, because it has to run all of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

JSONObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodePod:
    """A Pod as the agent reads it: whole."""

    body: JSONObject

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def uid(self) -> str:
        return str(self.body["metadata"].get("uid", ""))

    @property
    def node_name(self) -> str | None:
        return (self.body.get("spec") or {}).get("nodeName")

    @property
    def status(self) -> JSONObject:
        return self.body.get("status") or {}

    @property
    def finished(self) -> bool:
        return self.status.get("phase") in ("Succeeded", "Failed")

    @property
    def grace_s(self) -> float | None:
        """None while nobody wants it deleted."""
        meta = self.body["metadata"]
        if not meta.get("deletionTimestamp"):
            return None
        return float(meta.get("deletionGracePeriodSeconds") or 0)

    @property
    def age_key(self) -> tuple[str, str]:
        return str(self.body["metadata"].get("creationTimestamp", "")), self.name


def decode_pod(data: bytes) -> NodePod:
    return NodePod(msgspec.json.decode(data))
