"""`kubeai usage`: what requests took, by API key and model."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import DataDir, Kubeconfig, Namespace
from .target import Target

if TYPE_CHECKING:
    from kubeai.kube.client import Client

_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")


class UsageFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


def _date(value: str) -> str:
    if value and not _DATE.fullmatch(value):
        raise typer.BadParameter("write a date such as 2026-01-31, or a month such as 2026-01")
    return value


def usage(
    since: Annotated[
        str, typer.Option("--from", metavar="DATE", callback=_date, help="First day (UTC), or month.")
    ] = "",
    until: Annotated[str, typer.Option("--to", metavar="DATE", callback=_date, help="Last day, or month.")] = "",
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="Of this API key only.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Of this model only.", show_default=False)
    ] = None,
    output: Annotated[
        UsageFormat, typer.Option("--output", "-o", help="json has a line for each day.")
    ] = UsageFormat.TABLE,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Show how many requests and tokens each API key took of each model.

    It is what all gateways have written down, which they do every few seconds.

    \b
    Examples:
      kubeai usage
      kubeai usage --from 2026-11 --key alice
    """
    from kubeai.access.usage import Asked

    from .cluster import with_cluster
    from .output import as_json, table

    # Days of a month sort behind its name, and before its name with a tilde.
    asked = Asked(since, f"{until}~" if until else "", key, model)
    report = with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: _report(client, asked))
    if output is UsageFormat.JSON:
        typer.echo(as_json(report), nl=False)
    elif not report["data"]:
        typer.echo("Nothing was used.", err=True)
    else:
        typer.echo(table(("KEY", "MODEL", "REQUESTS", "PROMPT TOKENS", "COMPLETION TOKENS"), _rows(report)), nl=False)


async def _report(client: Client, asked: Any) -> dict[str, Any]:
    from kubeai.access.books import LABEL, days_of
    from kubeai.access.usage import report
    from kubeai.api.k8s.resources import CONFIG_MAPS

    months = await client.list(CONFIG_MAPS, labels=LABEL)
    return report({day: batch for month in months for day, batch in days_of(month.get("data") or {}).items()}, asked)


def _rows(report: dict[str, Any]) -> list[list[str]]:
    """One for each key and model, the days together, and the sum at the end."""
    sums: dict[tuple[str, str], list[int]] = {}
    for line in report["data"]:
        row = sums.setdefault((line["key"] or "-", line["model"]), [0, 0, 0])
        for index, name in enumerate(_NUMBERS):
            row[index] += line[name]
    total = [str(report["total"][name]) for name in _NUMBERS]
    return [[*names, *map(str, numbers)] for names, numbers in sorted(sums.items())] + [["all", "", *total]]


_NUMBERS = ("requests", "prompt_tokens", "completion_tokens")
