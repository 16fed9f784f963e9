"""Tasks that mostly wait for the network, several at a time, and an end that waits for none of them.

The standard library's pool waits for its threads when the process ends, and a thread that reads from a silent server
cannot be told to stop: a signal would go unanswered for a minute. These are daemons.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue


def run_all(tasks: Sequence[Callable[[], None]], workers: int, stop: threading.Event) -> None:
    """Run them all. The first that fails sets `stop`, which the others look at, and its exception is raised."""
    todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
    for task in tasks:
        todo.put(task)
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    threads = [
        threading.Thread(target=_work, args=(todo, ended, stop), daemon=True) for _ in range(min(workers, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            if error := ended.get():
                raise error
    except Exception:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    except BaseException:  # a signal: nobody is waited for
        stop.set()
        raise


def _work(
    todo: SimpleQueue[Callable[[], None]], ended: SimpleQueue[BaseException | None], stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            task = todo.get_nowait()
        except Empty:
            return
        try:
            task()
            ended.put(None)
        except BaseException as error:
            ended.put(error)
