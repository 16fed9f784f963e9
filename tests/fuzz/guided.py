"""One target under atheris: `python -m tests.fuzz.guided TARGET [options and directories of libFuzzer]`.

A process of its own for each target, because libFuzzer ends the process that it runs in.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["kubeai.gateway", "kubeai.inference", "kubeai.api"]):
    from .targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
