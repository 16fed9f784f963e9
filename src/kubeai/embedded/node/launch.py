"""From a container's wishes to a running process: engine, volumes, environment, command line.

Everything that can be missing (an image's recipe, an engine, a Secret, a directory, the program) ends in one
`LaunchError` with the reason that Kubernetes would show.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .containers import ContainerSpec, PodSpec
from .engines import EngineError, EngineInstall, Engines
from .environment import ConfigMissingError, Objects, build_env, cache_env, expand_all, needed_objects, pod_field
from .images import Recipe, UnknownImageError, command_line, find_recipe, further_command
from .logs import container_dir, forget_old_runs, log_path
from .process import OWNER_VARIABLE, Process, spawn
from .rewriting import Rewriting
from .seats import Seat
from .volumes import Volumes, needed_by_volumes

JSONObject = dict[str, Any]
#: kind ("Secret" or "ConfigMap"), namespace, name -> the object, or None if there is none
Fetch = Callable[[str, str, str], Awaitable[JSONObject | None]]
#: reason and message of a waiting container
OnProgress = Callable[[str, str], None]

#: What of our own environment is ours alone: our interpreter's settings would break another one's.
_OURS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "KUBECONFIG", "MAKEFLAGS", "MAKELEVEL")


class LaunchError(Exception):
    """The container has no process; `reason` is a word for programs, the text is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Machine:
    """What all Pods of a node share."""

    data_dir: Path
    engines: Engines
    fetch: Fetch
    node_name: str = "local"
    cache_limit: str | None = None

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"

    def pod_dir(self, uid: str) -> Path:
        return self.data_dir / "pods" / uid


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container's command and surroundings on this machine."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    rewriting: Rewriting
    recipe: Recipe
    install: EngineInstall | None = None

    def command_line(self, command: Sequence[str]) -> tuple[str, ...]:
        """The argument vector of a further process in the same surroundings."""
        return self.rewriting.args(further_command(self.recipe, self.install, command))


class Launcher:
    """Starts the containers of one Pod."""

    def __init__(self, machine: Machine, pod: JSONObject, spec: PodSpec, seat: Seat) -> None:
        self._machine = machine
        self._pod = pod
        self._spec = spec
        self._seat = seat
        self.volumes = Volumes(spec, machine.pod_dir(spec.uid), machine.data_dir / "volumes")

    def directory(self, container: str) -> Path:
        return container_dir(self._machine.data_dir, self._spec.uid, container)

    def record_path(self, container: str) -> Path:
        return self.directory(container) / "process.json"

    def log(self, container: str, run: int) -> Path:
        return log_path(self.directory(container), run)

    async def prepare(self, container: ContainerSpec, on_progress: OnProgress) -> Prepared:
        """May take minutes when the engine is not installed yet. Raises `LaunchError`."""
        try:
            recipe = find_recipe(container.image)
            install = await self._engine(recipe, on_progress)
            objects = await self._objects(container)
            self.volumes.prepare(objects)
            return self._command(container, recipe, install, objects)
        except UnknownImageError as error:
            raise LaunchError("ErrImagePull", str(error)) from error
        except EngineError as error:
            raise LaunchError("EngineNotInstalled", str(error)) from error
        except (ConfigMissingError, OSError, ValueError) as error:  # the last of a path that holds a zero byte, or such
            raise LaunchError("CreateContainerConfigError", str(error)) from error

    def spawn(self, container: ContainerSpec, prepared: Prepared, run: int) -> Process:
        """Raises `LaunchError`."""
        forget_old_runs(self.directory(container.name), keep=1)
        log, record = self.log(container.name, run), self.record_path(container.name)
        try:
            return spawn(prepared.argv, prepared.env, prepared.cwd, log, record, run=run)
        except FileNotFoundError as error:
            text = f'exec: "{error.filename}": there is no such program or directory'
            raise LaunchError("RunContainerError", text) from error
        except OSError as error:
            raise LaunchError("RunContainerError", f'exec: "{prepared.argv[0]}": {error.strerror}') from error
        except ValueError as error:  # a zero byte in an argument or a variable, which a Secret may well bring
            raise LaunchError("RunContainerError", f'exec: "{prepared.argv[0]}": {error}') from error

    async def _engine(self, recipe: Recipe, on_progress: OnProgress) -> EngineInstall | None:
        name = recipe.engine
        if name is None:
            return None
        found = self._machine.engines.find(name)
        if found:
            return found

        def progress(message: str, fraction: float | None) -> None:
            done = "" if fraction is None else f" ({fraction:.0%} of the packages)"
            on_progress("InstallingEngine", f"installing engine {name}: {message}{done}")

        return await self._machine.engines.install(name, progress)

    async def _objects(self, container: ContainerSpec) -> Objects:
        needed = needed_objects(container) | needed_by_volumes(self._spec)
        return {key: await self._machine.fetch(key[0], self._spec.namespace, key[1]) for key in sorted(needed)}

    def _command(
        self, container: ContainerSpec, recipe: Recipe, install: EngineInstall | None, objects: Objects
    ) -> Prepared:
        address = self._seat.address
        field = pod_field(self._pod, address.host, self._machine.node_name)
        own = build_env(container, objects, field)
        rewriting = Rewriting(address, self.volumes.mounts(container), self._spec.ports)
        args = command_line(recipe, install, expand_all(container.command, own), expand_all(container.args, own))
        directory = self.directory(container.name)
        cwd = Path(rewriting.path(container.working_dir)) if container.working_dir else directory / "work"
        directory.mkdir(parents=True, exist_ok=True)
        cwd.mkdir(parents=True, exist_ok=True)
        env = self._surroundings(install) | rewriting.env({**recipe.env, **own})
        return Prepared(rewriting.args(args), env, cwd, rewriting, recipe, install)

    def _surroundings(self, install: EngineInstall | None) -> dict[str, str]:
        """What a process finds in its environment before the container's own variables.

        It is the user's own environment: their proxy, certificates and HF_TOKEN are meant for their model servers.
        """
        env = {k: v for k, v in os.environ.items() if k not in _OURS and not k.startswith("KUBEAI_")}
        if install and not install.program:
            env["PATH"] = f"{install.bin}{os.pathsep}{env.get('PATH', os.defpath)}"
            env["VIRTUAL_ENV"] = str(install.bin.parent)
        env["HOSTNAME"] = self._spec.name
        env["PYTHONUNBUFFERED"] = "1"
        env |= cache_env(self._machine.cache_dir, self._machine.cache_limit)
        env.setdefault("HF_HUB_CACHE", str(self._machine.cache_dir / "huggingface"))
        env[OWNER_VARIABLE] = str(self._machine.data_dir)
        if self._seat.gpus:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(self._seat.gpus)
        return env
