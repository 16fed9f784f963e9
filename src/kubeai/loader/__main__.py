"""`python -m kubeai.loader SRC DEST`: load a model, telling the progress on standard output.

This is the entrypoint of the loader's image, and so the first process of its container, to which a signal does nothing
unless it is asked for: a stopped download must not wait for its kill. With an Ollama server as the destination it does
not end: it keeps the model there and answers `/readyz`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import LoadError

USAGE = """usage: load SRC DEST
  SRC   hf://, s3://, gs://, oss://, pypi:// or file://; with ?allow=PATTERN,... &ignore=PATTERN,... or &model=FILE
  DEST  a directory, or an hf://, s3://, gs:// or oss:// url
or:    load ollama://MODEL http://HOST:PORT/NAME"""
_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    if len(argv) != 2:
        sys.stderr.write(USAGE + "\n")
        return 2
    src, dest = argv
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if src.startswith("ollama://"):
            from .ollama import keep

            keep(src, dest, os.environ.get("KUBEAI_LOADER_LISTEN", "0.0.0.0:8001"), _say)
        else:
            _load(src, dest)
    except LoadError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _load(src: str, dest: str) -> None:
    from .fetch import load
    from .progress import ProgressLines

    cache = os.environ.get("KUBEAI_CACHE_DIR")
    load(src, dest, ProgressLines(_say), Path(cache) if cache else None)
    _say(f"loaded {src} into {dest}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
