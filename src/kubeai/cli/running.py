"""`kubeai up`: what the user sees while it starts, and when it is ready."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from kubeai.app.local import LocalOptions, Ready, run_local

from .output import progress_display
from .target import default_data_directory


def run_up(options: LocalOptions) -> None:
    with ExitStack() as stack:
        # Without Models there is nothing to wait for, and nothing worth the time that a display takes to start.
        progress = stack.enter_context(progress_display()) if options.manifests else _silent

        def ready(state: Ready) -> None:
            stack.close()
            print(announcement(state, options.data_dir), file=sys.stderr, flush=True)

        run_local(options, progress, ready)


def _silent(message: str, fraction: float | None) -> None:
    """Progress that nobody asked to see."""


def announcement(state: Ready, data_dir: Path) -> str:
    """Where things are, and what to do now."""
    lines = [
        "KubeAI is ready.",
        f"  OpenAI API   {state.url}/openai/v1",
        f"  kubectl      export KUBECONFIG={shlex.quote(str(state.kubeconfig))}",
    ]
    if state.models:
        lines.append(f"  Models       {', '.join(state.models)}")
    verb = f"chat {state.models[0]}" if state.models else "apply -f FILE"
    # Another terminal does not know of a directory that was chosen here.
    where = "" if data_dir == default_data_directory() else f" --data-dir {shlex.quote(str(data_dir))}"
    return "\n".join(
        [
            *lines,
            "",
            f"Next, in another terminal:  {_program()} {verb}{where}",
            "Ctrl-C stops it and its model servers.",
        ]
    )


def _program() -> str:
    """What to type for this program: its name if the shell finds it, else the path that it was called by."""
    called = sys.argv[0]
    if called.endswith("__main__.py"):
        return f"{shlex.quote(sys.executable)} -m kubeai"
    found = shutil.which("kubeai")
    same = found is not None and Path(found).resolve() == Path(called).resolve()
    return "kubeai" if same else shlex.quote(called)
