"""What keeps KubeAI from starting, in words for the person who started it."""

from __future__ import annotations

import os


class StartError(Exception):
    """Starting is impossible; the text says what is wrong, where, and what to do. A retry alone does not help."""


def reason_of(error: OSError) -> str:
    """The system's own words. asyncio puts a sentence of its own into `strerror`, with the address in it once more."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)  # of names that cannot be resolved the numbers are others
