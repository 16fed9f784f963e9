"""Carries out a plan's actions, one after the other, through the Kubernetes API.

An action that turns out to be done already is a success: the plan may have been made from an old view, and making it
again must do no harm. Everything else that the server refuses is the caller's to judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from kubeai.api.k8s.resources import PODS, Resource
from kubeai.controller.owned import stays
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.planning.actions import Action, Create, Delete, Drain, Patch
from kubeai.planning.names import DRAINING_ANNOTATION
from kubeai.planning.reasons import Reason
from kubeai.planning.refusals import image_volumes


@dataclass(frozen=True, slots=True)
class Written:
    """A fact about a Pod (see `owned`) that the cache should soon show, or show no more."""

    kind: Literal["appears", "vanishes"]
    fact: str


async def execute(client: Client, action: Action) -> Written | None:
    """Do it. None when there is nothing that the cache would have to show."""
    match action:
        case Create(resource, obj):
            # Other kinds are looked at by their names. A Pod is not: is it ours, or whose is it?
            with _done_if(*() if resource == PODS else ("already_exists",)):
                if resource == PODS and image_volumes(obj):
                    await _rehearse(client, obj)
                made = await client.create(resource, dict(obj))
                return _of_pod(resource, Written("appears", made["metadata"].get("uid", "")))
        case Delete(resource, namespace, name, uid, propagation):
            # A conflict: the name belongs to another object by now.
            with _done_if("not_found", "conflict"):
                await client.delete(resource, name, namespace=namespace, uid=uid, propagation=propagation)
                return _of_pod(resource, Written("vanishes", uid))
        case Patch(resource, namespace, name, patch, subresource):
            # What is said of a Pod that is gone is not needed any more.
            with _done_if(*("not_found",) if resource == PODS else ()):
                await client.patch(resource, name, dict(patch), namespace=namespace, subresource=subresource)
        case Drain():
            with _done_if("not_found"):
                await client.patch(PODS, action.name, _mark(action), namespace=action.namespace)
                return Written("vanishes" if action.since else "appears", stays(action.uid))
    return None


async def _rehearse(client: Client, pod: Mapping[str, Any]) -> None:
    """Ask what the API server would make of a Pod with image volumes: without them it would run and find no weights."""
    kept = await client.create(PODS, dict(pod), dry_run=True)
    if lost := image_volumes(pod) - image_volumes(kept):
        message = (
            f"it would leave out the Pod's image volumes ({', '.join(sorted(lost))}), because its feature gate "
            "ImageVolume is off: switch it on, there and at the kubelets, or bring the weights in another way."
        )
        raise APIError(422, "Invalid", message, details={"causes": [{"reason": Reason.FEATURE_DISABLED}]})


def _of_pod(resource: Resource, written: Written) -> Written | None:
    """Only Pods have names and numbers that a plan from an old view would get wrong."""
    return written if resource == PODS else None


def _mark(action: Drain) -> dict[str, Any]:
    since = action.since.isoformat() if action.since else None
    # Refused if somebody has changed the Pod meanwhile: perhaps it is another one of the same name.
    return {
        "metadata": {"resourceVersion": action.resource_version, "annotations": {DRAINING_ANNOTATION: since}},
    }


@contextmanager
def _done_if(*outcomes: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        if not any(getattr(error, outcome) for outcome in outcomes):
            raise
