"""Values inside objects, by the simple paths that CRDs and field selectors use.

`.status.conditions[?(@.type=="Ready")].status`, `.metadata.labels.app\\.kubernetes\\.io/name`, `.spec.features[0]`: the
part of JSONPath that printer columns, scale subresources and selectable fields are written in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.?(?:
        (?P<field>(?:\\.|[^.\[\]\\])+)
      | \[(?P<index>-?\d+)\]
      | \['(?P<quoted>[^']*)'\]
      | \[(?P<all>\*)\]
      | \[\?\(\s*@\.(?P<key>[^=\s]+)\s*==\s*["'](?P<value>[^"']*)["']\s*\)\]
    )""",
    re.VERBOSE,
)
Step = tuple[str, str, str]


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError for what is not understood."""
    steps: list[Step] = []
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"path {path!r} is not understood at {text[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["field"] is not None:
        return ("field", re.sub(r"\\(.)", r"\1", match["field"]), "")
    if match["quoted"] is not None:
        return ("field", match["quoted"], "")
    if match["index"] is not None:
        return ("index", match["index"], "")
    return ("all", "", "") if match["all"] else ("where", match["key"], match["value"])


def find(obj: Any, path: str) -> list[Any]:
    """All values that the path leads to."""
    values = [obj]
    for step in parse_path(path):
        values = [below for value in values for below in _follow(value, step)]
    return values


def first(obj: Any, path: str) -> Any:
    """The first value, or None."""
    return next(iter(find(obj, path)), None)


def _follow(value: Any, step: Step) -> list[Any]:
    kind, name, wanted = step
    if kind == "field":
        return [value[name]] if isinstance(value, dict) and name in value else []
    if kind == "all":
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if not isinstance(value, list):
        return []
    if kind == "index":
        return value[int(name) :][:1]
    return [item for item in value if isinstance(item, dict) and str(first(item, name)) == wanted]


def replaced(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a path of plain fields."""
    (_, name, _), *rest = parse_path(path)
    if not rest:
        return obj | {name: value}
    below = ".".join(step[1].replace(".", "\\.") for step in rest)
    return obj | {name: replaced(obj.get(name) or {}, below, value)}
