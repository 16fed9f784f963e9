"""For all tests."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests.kubernetes.real_server import real_server as real_server  # one for the whole run, whoever asks for it

# Without a current loop of the main thread, plugins that ask for one outside of any test would make one that nobody
# closes, and its warning would fail whichever test runs next.
asyncio.set_event_loop(None)

# A run in the background of a shell ignores SIGINT, and so would all processes that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is no matter of any test, and on a machine with other things to do it may be long.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    """What a test makes of the logging of this process ends with it, as do the streams that it gave."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
