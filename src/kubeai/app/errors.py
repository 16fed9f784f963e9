"""What keeps KubeAI from starting, in words for the person who started it."""

from __future__ import annotations

import os


class StartError(Exception):
    """Starting is impossible; the text says what is wrong, where, and what to do. A retry alone does not help."""


def reason_of(error: OSError) -> str:
    """The system's own words. asyncio puts a sentence of its own into `strerror`, with the address in it once more."""
    return os.strerror(error.errno) if error.errno else str(error)
