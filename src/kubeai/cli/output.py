"""Text for people and for programs: tables, YAML, JSON, and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Object = dict[str, Any]
#: Told what is being done, and how far it is (0 to 1) where that is known.
Progress = Callable[[str, float | None], None]
_GAP = "   "


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of equal width, without lines between them: easy to read, and easy to cut for a shell."""
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(row_text(line, widths) for line in lines) + "\n"


def row_text(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_yaml(value: Any) -> str:
    """YAML of an object, or of several with `---` between them if they come as a list."""
    import yaml

    documents = value if isinstance(value, list) else [value]
    text: str = yaml.dump_all(
        documents, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=110, explicit_start=len(documents) > 1
    )
    return text


def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return Dumper


def as_list(objects: Sequence[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


def without_bookkeeping(obj: Object) -> Object:
    """The object without `managedFields`, which nobody reads and which hides the rest."""
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return obj | {"metadata": metadata}


@contextmanager
def progress_display() -> Iterator[Progress]:
    """A line that moves on a terminal; elsewhere a line for each new step."""
    if not sys.stderr.isatty():
        yield _progress_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Display

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Display(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as display:
        task = display.add_task("", total=None, visible=False)

        def show(message: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            display.update(task, description=message, total=total, completed=fraction or 0.0, visible=True)

        yield show


def _progress_lines() -> Progress:
    last = ""

    def show(message: str, fraction: float | None) -> None:
        nonlocal last
        if message and message != last:
            print(message, file=sys.stderr, flush=True)
            last = message

    return show
