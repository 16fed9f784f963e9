"""Verbs for API keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .options import DataDir, Kubeconfig, Namespace
from .target import Target

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


class KeysFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key; usage and logs show it.")]
Secret = Annotated[
    str, typer.Option("--secret", metavar="NAME", help="The Secret of the keys, as the configuration names it.")
]
Output = Annotated[KeysFormat, typer.Option("--output", "-o", help="How to print.")]
SECRET = "kubeai-api-keys"


def _limit(flag: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, min=1, metavar="N", help=help, show_default=False)
    return option


@app.command()
def create(
    name: KeyName,
    models: Annotated[
        str, typer.Option("--models", metavar="SELECTOR", help="Label selector of the Models that it may use.")
    ] = "",
    requests_per_minute: Annotated[int | None, _limit("--requests-per-minute", "More are 429.")] = None,
    tokens_per_minute: Annotated[int | None, _limit("--tokens-per-minute", "Of prompts and answers.")] = None,
    concurrency: Annotated[int | None, _limit("--concurrency", "Requests at a time.")] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="30d, 12h, or a date such as 2027-01-31.", show_default=False),
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="Who has more goes first among those that wait.")] = 0,
    output: Output = KeysFormat.TABLE,
    secret: Secret = SECRET,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Make an API key and print it. It is shown this once: only its hash is kept.

    With the first key, requests without one are refused. Limits hold for each gateway: several do not share them.

    \b
    Examples:
      kubeai keys create alice
      kubeai keys create ci --models team=search --requests-per-minute 60 --expires 30d
    """
    from .cluster import with_cluster
    from .keyring import Rules, create_key

    rules = Rules(models, requests_per_minute, tokens_per_minute, concurrency, expires, priority)
    target = Target(kubeconfig, data_dir, namespace)
    made = with_cluster(target, lambda client: create_key(client, secret, name, rules))
    _print_key(made.name, made.key, output)
    for note in made.notes:
        typer.echo(note, err=True)


@app.command("list")
def list_keys(
    output: Output = KeysFormat.TABLE,
    secret: Secret = SECRET,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Show the API keys and their rules.

    \b
    Example:
      kubeai keys list
    """
    from .cluster import with_cluster
    from .keyring import key_rows
    from .output import as_json, table

    rows = with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: key_rows(client, secret))
    if output is KeysFormat.JSON:
        typer.echo(as_json(rows), nl=False)
    elif not rows:
        typer.echo("There are no API keys.", err=True)
    else:
        header = [name.replace("_", " ").upper() for name in rows[0]]
        typer.echo(table(header, [[str(cell or "-") for cell in row.values()] for row in rows]), nl=False)


@app.command()
def revoke(
    name: KeyName,
    secret: Secret = SECRET,
    kubeconfig: Kubeconfig = None,
    data_dir: DataDir = None,
    namespace: Namespace = None,
) -> None:
    """Take a key away. All gateways refuse it within seconds; answers that have begun end in peace.

    \b
    Example:
      kubeai keys revoke alice
    """
    from .cluster import with_cluster
    from .keyring import revoke_key

    for note in with_cluster(Target(kubeconfig, data_dir, namespace), lambda client: revoke_key(client, secret, name)):
        typer.echo(note, err=True)
    typer.echo(f"key {name} revoked")


def _print_key(name: str, key: str, output: KeysFormat) -> None:
    from .output import as_json

    typer.echo(as_json({"name": name, "key": key}) if output is KeysFormat.JSON else f"{key}\n", nl=False)
