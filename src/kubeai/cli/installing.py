"""`kubeai engines`: what is installed, and installing and removing it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from kubeai.embedded.node.engines import ENGINES, EngineError, Engines, EngineState

from .errors import CLIError
from .output import progress_display
from .target import is_running

Row = dict[str, str]


def engine_rows(data_dir: Path) -> list[Row]:
    return [_row(state) for state in Engines(data_dir).list()]


def _row(state: EngineState) -> Row:
    install = state.install
    if install is None:
        status, where = (
            ("not installed", f"kubeai engines install {state.name}")
            if state.installable
            else (
                "not found",
                ENGINES[state.name].hint,
            )
        )
    elif install.program:
        status, where = "on PATH", str(install.program)
    else:
        status, where = "installed", str(install.bin.parent)
    return {"name": state.name, "server": state.title, "status": status, "where": where}


def install_engine(data_dir: Path, name: str) -> str:
    engines = Engines(data_dir)
    found = engines.find(name)
    if found:
        return f"{name} is there already: {found.program or found.bin.parent}"
    with progress_display() as progress:
        installed = asyncio.run(engines.install(name, progress))
    return f"{name} is installed: {installed.bin.parent}"


def remove_engine(data_dir: Path, name: str) -> str:
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}; known are {', '.join(ENGINES)}")
    directory = data_dir / "engines" / name
    if not directory.exists():
        raise CLIError(f"{name} is not installed in {data_dir}")
    if is_running(data_dir):
        raise CLIError(f"a `kubeai up` that runs with {data_dir} may be using {name}: stop it first")
    shutil.rmtree(directory)
    return f"{name} is removed from {data_dir}"
