"""Which Pods belong to whom: an index over an informer's cache by the uid of the controlling owner.

By uid and not by label or name: the Pods of an earlier Model of the same name are none of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from kubeai.api.k8s.objects import Pod
from kubeai.planning.names import is_draining


def stays(uid: str) -> str:
    """The fact that the Pod is not marked to go."""
    return f"{uid} stays"


class PodChanges(Protocol):
    """The part of an informer that is needed here."""

    def on_change(self, handler: Callable[[Pod | None, Pod | None], None]) -> object: ...


class OwnedPods:
    """Follows the informer; create it before the handlers that read it."""

    def __init__(self, pods: PodChanges) -> None:
        #: owner's uid -> Pod's uid -> Pod; an owner without Pods has no entry.
        self._by_owner: dict[str, dict[str, Pod]] = {}
        pods.on_change(self._on_change)

    def of(self, owner_uid: str) -> Mapping[str, Pod]:
        """Pods by their uid."""
        return self._by_owner.get(owner_uid, {})

    def facts(self, owner_uid: str) -> set[str]:
        """What expectations wait for: the uid of each Pod that nobody has deleted, and that it stays."""
        there = {uid: pod for uid, pod in self.of(owner_uid).items() if not pod.terminating}
        return there.keys() | {stays(uid) for uid, pod in there.items() if not is_draining(pod)}

    def _on_change(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and old.controller_uid:
            owned = self._by_owner.get(old.controller_uid, {})
            owned.pop(old.uid, None)
            if not owned:
                self._by_owner.pop(old.controller_uid, None)
        if new is not None and new.controller_uid:
            self._by_owner.setdefault(new.controller_uid, {})[new.uid] = new
