"""SIGTERM ends the built-in llama.cpp server at once, also while its main thread is in C++."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

BUSY = """\
import ctypes, signal
from kubeai.embedded.node.servers.llamacpp import end_on

end_on(signal.SIGTERM)
c, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
c.pthread_mutex_lock(mutex)
print("busy", flush=True)
c.pthread_mutex_lock(mutex)  # for ever, and no signal interrupts it
print("idle")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the zeros of another system are no mutex")
def test_a_signal_ends_the_process_while_its_main_thread_is_busy() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == b"busy\n"
            process.send_signal(signal.SIGTERM)
            assert (process.wait(20), process.stdout.read()) == (0, b"")
        finally:
            process.kill()
