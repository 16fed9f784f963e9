"""`kubeai`: the verbs put together, and the one place where errors become text."""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from . import engines, keys, objects, offline, talk, up, usage
from .errors import explain

INTERRUPTED = 130


def _with_flags_off(params: list[Any]) -> list[Any]:
    """Flags that are False in place of None: typer checks a None by pydantic, which takes 0.1 s to load."""
    for param in params:
        if getattr(param, "is_flag", False) and param.default is None:
            param.default = False
    return params


class Verb(TyperCommand):
    """One verb."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_flags_off(super().get_params(ctx))


class Verbs(TyperGroup):
    """Runs a verb; what goes wrong is told on standard error in a line or two, with exit code 1."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_flags_off(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # typer's own: usage errors, exits, a reader that went away
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(error, ExceptionGroup) and error.subgroup(BrokenPipeError):
                raise BrokenPipeError(errno.EPIPE, "the reader went away") from error
            if ctx.params.get("debug"):
                raise
            typer.echo(f"error: {explain(error)}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Verbs,
    name="kubeai",
    no_args_is_help=True,
    # Plain help: rich would take half a second to print it.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def kubeai(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="KUBEAI_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Serve machine-learning models, on one machine or on a Kubernetes cluster.

    \b
    Start here:
      kubeai up --model examples/smollm2.yaml    serve a model on this machine
      kubeai chat smollm2                        talk to it
      kubeai get                                 see how it is
    """


for verb in (
    up.up,
    objects.apply,
    objects.get,
    objects.describe,
    objects.scale,
    objects.delete,
    objects.logs,
    talk.chat,
    talk.embed,
    usage.usage,
    offline.validate,
    offline.render,
    offline.crd,
    offline.load,
    up.manager,
    up.operator,
    up.gateway,
    offline.version,
):
    app.command(cls=Verb)(verb)
app.add_typer(engines.app, name="engines")
app.add_typer(keys.app, name="keys")


def main() -> None:
    app(prog_name="kubeai")
