"""One conversation with the API server: opens a client, and says what to do when nobody answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed

from .errors import CLIError
from .target import Target, find_cluster

T = TypeVar("T")


def with_cluster(target: Target, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run `work` with a client of the cluster that `target` means."""
    access = find_cluster(target)

    async def converse() -> T:
        async with Client(access) as client:
            return await work(client)

    try:
        return asyncio.run(converse())
    except ConnectionFailed as error:
        raise CLIError(
            f"no answer from the API server {_public(access.server)} ({_why(error)})\n"
            "Is `kubeai up` running? Another cluster is named with --kubeconfig or KUBECONFIG."
        ) from error
    except APIError as error:
        if error.status == 401:
            raise CLIError(
                f"the API server {_public(access.server)} does not accept the kubeconfig's credentials"
            ) from error
        raise


def _public(server: str) -> str:
    """The URL without the token that a local kubeconfig has in it."""
    scheme, _, rest = server.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _why(error: ConnectionFailed) -> str:
    cause = error.__cause__
    number = getattr(cause, "errno", None) or getattr(getattr(cause, "os_error", None), "errno", None)
    return os.strerror(number) if number and number > 0 else type(cause).__name__ if cause else str(error)
