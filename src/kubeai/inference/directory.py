"""Which Model a name means, for those that the request may see.

The directory is a view of the informer's cache: a lookup is one dictionary access, and a Model that is edited or
deleted is different or gone with the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from kubeai.api.address import address
from kubeai.api.k8s.selectors import LabelSelector, SelectorError
from kubeai.api.model import Feature, Model
from kubeai.api.openai.errors import invalid_request, missing_feature, missing_route, not_found_model
from kubeai.api.openai.routes import Route

DEFAULT_FEATURE: Feature = "TextGeneration"


class Models(Protocol):
    """The part of an informer that is needed here."""

    def on_change(self, handler: Callable[[Model | None, Model | None], None]) -> None:
        """Calls `handler(old, new)` for what is cached already, and for each change from now on."""


class Directory:
    """The Models by name: what requests call them, which `api.address` explains."""

    def __init__(self, models: Models, home: str | None = None) -> None:
        """`home` is the namespace whose Models have plain names."""
        self._home = home
        #: Those that are not being deleted.
        self._models: dict[str, Model] = {}
        models.on_change(self._change)

    def get(self, name: str) -> Model | None:
        """The Model as it is now; None also for one that is being deleted."""
        return self._models.get(name)

    def find(self, name: str, selectors: Sequence[LabelSelector] = ()) -> tuple[Model, str | None]:
        """The Model and adapter that `NAME` or `NAME_ADAPTER` means. Raises `OpenAIError` (404)."""
        base, underscore, adapter = name.partition("_")
        model = self._models.get(base)
        if model is None or (selectors and not all(selector.matches(model.labels) for selector in selectors)):
            raise not_found_model(name)
        if not underscore:
            return model, None
        if adapter not in model.adapters:
            raise not_found_model(name)
        return model, adapter

    def entries(self, features: Sequence[str] = (), selectors: Sequence[LabelSelector] = ()) -> list[dict[str, Any]]:
        """The list of models in OpenAI's form: those with one of the features, each followed by its adapters."""
        wanted = set(features) or {DEFAULT_FEATURE}
        return [
            entry
            for name, model in sorted(self._models.items())
            if wanted.intersection(model.spec.features)
            and all(selector.matches(model.labels) for selector in selectors)
            for entry in [_entry(name, model), *(_entry(f"{name}_{adapter}", model) for adapter in model.adapters)]
        ]

    def entry(self, name: str, selectors: Sequence[LabelSelector] = ()) -> dict[str, Any]:
        """One entry of the list, whatever its features. Raises `OpenAIError` (404)."""
        model, _ = self.find(name, selectors)
        return _entry(name, model)

    def _change(self, old: Model | None, new: Model | None) -> None:
        if (model := new or old) is None:
            return
        name = address(model.namespace, model.name, self._home)
        if new is not None and not new.terminating:
            self._models[name] = new
        else:
            self._models.pop(name, None)


def parse_selectors(values: Iterable[bytes]) -> list[LabelSelector]:
    """The values of `X-Label-Selector` headers, all of which must match. Raises `OpenAIError` (400)."""
    try:
        return [LabelSelector.parse(value.decode("ascii")) for value in values]
    except (SelectorError, UnicodeDecodeError) as error:
        raise invalid_request(f"The header X-Label-Selector is not a label selector: {error}.") from None


def require_feature(model: Model, requested: str, needed: frozenset[Feature]) -> None:
    """Raises `OpenAIError` (400) with what the Model can do (fault P11)."""
    if needed.isdisjoint(model.spec.features):
        raise missing_feature(requested, needed, model.spec.features)


def target_at_engine(model: Model, requested: str, route: Route, target: bytes) -> bytes:
    """`target`, which begins with the route's path, as the Model's engine knows it.

    Raises `OpenAIError` (400) for an engine that does not serve the route (fault P11).
    """
    path = route.engines.get(model.spec.engine)
    if path is None:
        raise missing_route(requested, route.path, model.spec.engine, route.engines)
    return path.encode("ascii") + target[len(route.path) :]


def _entry(name: str, model: Model) -> dict[str, Any]:
    created = model.metadata.creation_timestamp
    return {
        "id": name,
        "object": "model",
        "created": int(created.timestamp()) if created else 0,
        "owned_by": model.spec.owner or "",
        "features": list(model.spec.features),
    }
