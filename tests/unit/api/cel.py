"""The CEL side of a rule, evaluated as an API server does: an error counts as a broken rule."""

from __future__ import annotations

from functools import cache
from typing import Any

from cel_expr_python import cel

_ENVIRONMENT = cel.NewEnv(variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN})


@cache
def _compiled(text: str) -> Any:
    return _ENVIRONMENT.compile(text)


def holds(text: str, new: Any, old: Any) -> bool:
    result = _compiled(text).eval(data={"self": new, "oldSelf": old})
    # Errors come back as values of a type of their own.
    assert result.type() == cel.Type.BOOL, f"{text} gives {result.value()} for {new!r}, {old!r}"
    return bool(result.value())
