"""The rules of a Model that one field's schema cannot say, each once: as CEL for API servers, and in Python.

The CRD takes the CEL text from here and `validation` the Python predicate; a property test holds the two together.
A rule stands at the place in the spec that it is about (`self` in CEL, the first argument in Python); a rule about a
change also sees what was there before (`oldSelf`) and holds for a new object.

API servers refuse a CRD whose rules could cost too much: a rule that goes through a list needs a bound on the list
and on the texts that it compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kubeai.api.model import MAX_NAME_LENGTH
from kubeai.api.modelurl import ADAPTER_SCHEMES, CACHE_ONLY_SCHEMES, CACHEABLE_SCHEMES, SCHEMES
from kubeai.api.pods import OWN_POD_ANNOTATIONS, OWN_POD_LABELS

Check = Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule at one place."""

    #: The place: "" is the whole Model, "spec.files[].path" each file's path.
    path: str
    cel: str
    check: Check
    message: str
    #: The field below `path` that a fault is reported at.
    field: str = ""
    #: Whether the rule compares the old with the new, and says nothing of a new object.
    transition: bool = False


def _starts_with(field: str, schemes: Sequence[str]) -> str:
    return " || ".join(f'{field}.startsWith("{scheme}://")' for scheme in schemes)


def _has_scheme(url: str, schemes: Sequence[str]) -> bool:
    return url.startswith(tuple(f"{scheme}://" for scheme in schemes))


def _listed(schemes: Sequence[str]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes)


def _has_none_of(keys: Sequence[str]) -> str:
    return f"[{', '.join(json.dumps(key) for key in keys)}].all(key, !(key in self))"


def _keeps_cache_profile(new: Any, old: Any) -> bool:
    return "cacheProfile" not in old or new.get("cacheProfile") == old["cacheProfile"]


def _keeps_cached_url(new: Any, old: Any) -> bool:
    return "cacheProfile" not in old or new["url"] == old["url"]


def _bounds_in_order(new: Any, _: Any) -> bool:
    if "minReplicas" not in new or "maxReplicas" not in new:
        return True
    return bool(new["minReplicas"] <= new["maxReplicas"])


def _unique_paths(new: Any, _: Any) -> bool:
    paths = [file["path"] for file in new]
    return len(set(paths)) == len(paths)


RULES: tuple[Rule, ...] = (
    Rule(
        path="",
        field="metadata.name",
        cel=f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        # Offline a name may still have to be generated.
        check=lambda new, _: len(new["metadata"].get("name", "")) <= MAX_NAME_LENGTH,
        message=f"metadata.name must be at most {MAX_NAME_LENGTH} characters, because object names are derived from it",
    ),
    Rule(
        path="spec.url",
        cel=_starts_with("self", SCHEMES),
        check=lambda new, _: _has_scheme(new, SCHEMES),
        message=f"url must start with one of {_listed(SCHEMES)}",
    ),
    Rule(
        path="spec",
        field="cacheProfile",
        cel=f"!has(self.cacheProfile) || {_starts_with('self.url', CACHEABLE_SCHEMES)}",
        check=lambda new, _: "cacheProfile" not in new or _has_scheme(new["url"], CACHEABLE_SCHEMES),
        message=f"cacheProfile can only be used with a url that starts with one of {_listed(CACHEABLE_SCHEMES)}",
    ),
    Rule(
        path="spec",
        field="url",
        cel=f"has(self.cacheProfile) || !({_starts_with('self.url', CACHE_ONLY_SCHEMES)})",
        check=lambda new, _: "cacheProfile" in new or not _has_scheme(new["url"], CACHE_ONLY_SCHEMES),
        message=f"url with {' or '.join(f'{s}://' for s in CACHE_ONLY_SCHEMES)} can only be used with a cacheProfile",
    ),
    Rule(
        path="spec",
        field="cacheProfile",
        cel="!has(oldSelf.cacheProfile) || (has(self.cacheProfile) && self.cacheProfile == oldSelf.cacheProfile)",
        check=_keeps_cache_profile,
        message="cacheProfile cannot be changed or removed once it is set",
        transition=True,
    ),
    Rule(
        path="spec",
        field="url",
        cel="!has(oldSelf.cacheProfile) || self.url == oldSelf.url",
        check=_keeps_cached_url,
        message="url cannot be changed while a cacheProfile is set",
        transition=True,
    ),
    Rule(
        path="spec",
        field="minReplicas",
        cel="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        check=_bounds_in_order,
        message="minReplicas must be less than or equal to maxReplicas",
    ),
    Rule(
        path="spec",
        field="adapters",
        cel='!has(self.adapters) || size(self.adapters) == 0 || self.engine in ["VLLM", "LlamaCpp"]',
        check=lambda new, _: not new.get("adapters") or new["engine"] in ("VLLM", "LlamaCpp"),
        message="adapters can only be used with engine VLLM or LlamaCpp",
    ),
    Rule(
        path="spec.adapters[].url",
        cel=_starts_with("self", ADAPTER_SCHEMES),
        check=lambda new, _: _has_scheme(new, ADAPTER_SCHEMES),
        message=f"url of an adapter must start with one of {_listed(ADAPTER_SCHEMES)}",
    ),
    Rule(
        path="spec.loadBalancing.prefixHash.replication",
        cel="self == oldSelf",
        check=lambda new, old: bool(new == old),
        message="replication cannot be changed",
        transition=True,
    ),
    Rule(
        path="spec.files[].path",
        cel='self.startsWith("/")',
        check=lambda new, _: new.startswith("/"),
        message="path of a file must be absolute: it must start with /",
    ),
    Rule(
        path="spec.files[].path",
        cel='!self.contains(":")',
        check=lambda new, _: ":" not in new,
        message="path of a file must not contain a colon",
    ),
    Rule(
        path="spec.files",
        cel="self.all(f, self.exists_one(g, g.path == f.path))",
        check=_unique_paths,
        message="paths of files must differ from each other",
    ),
    Rule(
        path="spec.rollout",
        field="surge",
        cel='!has(self.surge) || !has(self.strategy) || self.strategy == "Surge"',
        check=lambda new, _: "surge" not in new or new.get("strategy", "Surge") == "Surge",
        message="surge can only be used with strategy Surge",
    ),
    Rule(
        path="spec.pods.template.metadata.labels",
        cel=_has_none_of(OWN_POD_LABELS),
        check=lambda new, _: not any(key in new for key in OWN_POD_LABELS),
        message=f"labels of a template must not be those that KubeAI sets: {', '.join(OWN_POD_LABELS)}",
    ),
    Rule(
        path="spec.pods.template.metadata.annotations",
        cel=_has_none_of(OWN_POD_ANNOTATIONS),
        check=lambda new, _: not any(key in new for key in OWN_POD_ANNOTATIONS),
        message=f"annotations of a template must not be those that KubeAI sets: {', '.join(OWN_POD_ANNOTATIONS)}",
    ),
)
