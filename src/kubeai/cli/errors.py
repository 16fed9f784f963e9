"""Errors as people want them: one or two lines that say what is wrong, where, and what to do. No traceback.

Which exceptions are somebody's mistake is a list of names, because importing their classes would import everything.
"""

from __future__ import annotations

BUG = "this is a bug in kubeai: run again with `kubeai --debug ...` to see where, and report it"

#: Exceptions whose text is the whole message.
EXPECTED = frozenset(
    {
        "kubeai.cli.errors.CLIError",
        "kubeai.kube.errors.APIError",
        "kubeai.kube.errors.BadNameError",
        "kubeai.kube.access.AccessError",
        "kubeai.config.load.ConfigError",
        "kubeai.app.errors.StartError",
        "kubeai.planning.errors.PlanningError",
        "kubeai.embedded.journal.JournalError",
        "kubeai.embedded.node.engines.EngineError",
        "kubeai.loader.errors.LoadError",
    }
)


class CLIError(Exception):
    """The verb cannot do what was asked; the text is all that the user gets to read."""


def explain(error: BaseException) -> str:
    """What to print for an exception."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(dict.fromkeys(explain(inner) for inner in error.exceptions))
    if EXPECTED & {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}:
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}\n{BUG}"
