"""The reference page of the command line, made of the verbs' own help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from .main import app

_INTRODUCTION = """\
# Command line

`kubeai VERB --help` shows the same. Verbs that speak with the cluster find it in this order: `--kubeconfig`,
`--data-dir`, the variable `KUBECONFIG`, a `kubeai up` that runs on this machine, the cluster that `kubeai` itself runs
in, `~/.kube/config`. Verbs that speak with models find the gateway by `--url`, the variable `KUBEAI_URL`, the
running `kubeai up`, and else at `http://127.0.0.1:8000`; where API keys are asked for, theirs is in `KUBEAI_API_KEY`.

An error is told on standard error in a line or two, and the exit code is 1 (2 if the command itself is wrong, 130
after Ctrl-C); `kubeai --debug VERB ...` adds the traceback. `kubeai --install-completion` teaches the shell to complete
verbs, options and the names of Models.
"""


def markdown() -> str:
    """`docs/reference/cli.md`."""
    group: Any = typer.main.get_command(app)
    return "\n".join([_INTRODUCTION, *_group("kubeai", group)])


def _group(path: str, group: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _group(f"{path} {name}", command)
        else:
            yield from _verb(f"{path} {name}", command)


def _verb(path: str, command: Any) -> Iterator[str]:
    text, _, examples = command.help.partition("\b\n")
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    yield from (f"## {path}", "", text.strip(), "")
    usage = " ".join([path, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])])
    yield from ("```console", f"$ {usage}", "```", "")
    if examples:
        yield from ("Examples:", "", "```console", *map(_example, examples.strip().splitlines()[1:]), "```", "")
    if arguments or options:
        yield from ("| Argument or option | Default | Meaning |", "| --- | --- | --- |")
        yield from (_row(param) for param in (*arguments, *options))
        yield ""


def _example(line: str) -> str:
    """What stands apart behind the command is a comment."""
    command, comment = re.fullmatch(r"\s*(.+?)(?:\s{2,}(\S.*))?", line, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"$ {command}" + (f"    # {comment}" if comment else "")


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    shown = f"{name}..." if argument.nargs == -1 else name
    return str(shown if argument.required else f"[{shown}]")


def _row(param: Any) -> str:
    if param.param_type_name == "argument":
        name = f"`{_usage(param)}`"
    else:
        name = ", ".join(f"`{option}`" for option in (*param.opts, *param.secondary_opts)) + _value(param)
    variable = f" (variable `{param.envvar}`)" if param.envvar else ""
    cells = (name, _default(param), f"{param.help or ''}{variable}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(option: Any) -> str:
    if option.is_flag:
        return ""
    choices = option.type_descriptor.choices
    return f" `{'|'.join(map(str, choices))}`" if choices else f" `{option.metavar or 'N'}`"


def _default(param: Any) -> str:
    default = param.default
    if default is None or default is False or default == "" or callable(default):
        return "required" if param.required else ""
    return f"`{getattr(default, 'value', default)}`"
