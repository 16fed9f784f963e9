"""Requests to the gateway, and its errors as sentences."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .errors import CLIError
from .sse import DONE, Events

CONNECT_TIMEOUT_S = 10
KEY_VARIABLE = "KUBEAI_API_KEY"
_LOOPBACK = ("localhost", "::1")


async def post(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The whole answer to a request. Raises `CLIError`."""
    async with _answer(url, path, body) as answer:
        found = await answer.json(content_type=None)
        if not isinstance(found, dict):
            raise CLIError(f"the answer from {url}{path} is not an object")
        return found


async def stream(url: str, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The events of a streamed answer. Raises `CLIError`, also for an error in the middle of the stream."""
    events = Events()
    async with _answer(url, path, body | {"stream": True}) as answer:
        async for chunk in answer.content.iter_any():
            for data in events.feed(chunk):
                if data == DONE:
                    return
                event = json.loads(data)
                if "error" in event:
                    raise CLIError(_sentence(event, answer))
                yield event


@asynccontextmanager
async def _answer(url: str, path: str, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
    # A proxy is for what is far away; a model may take as long as it wants.
    far = (urlsplit(url).hostname or "") not in _LOOPBACK and not (urlsplit(url).hostname or "").startswith("127.")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=far, headers=_credentials()) as session,
            session.post(f"{url}{path}", json=body) as answer,
        ):
            if answer.status == 401:
                hint = f"Put a key of `kubeai keys create NAME` into the variable {KEY_VARIABLE}."
                raise CLIError(f"{_sentence(_decode(await answer.read()), answer)}\n{hint}")
            if answer.status != 200:
                raise CLIError(_sentence(_decode(await answer.read()), answer))
            yield answer
    except aiohttp.ClientConnectorError as error:
        raise CLIError(
            f"no gateway answers at {url} ({_why(error.os_error)})\n"
            "Start one with `kubeai up`, or say where it is with --url or KUBEAI_URL."
        ) from error
    except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
        raise CLIError(f"the connection to {url} broke: {str(error) or type(error).__name__}") from error


def _credentials() -> dict[str, str]:
    """From the environment only: on a command line everybody on the machine could read the key."""
    key = os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": {"message": body.decode(errors="replace").strip()[:500]}}


def _sentence(body: dict[str, Any], answer: aiohttp.ClientResponse) -> str:
    """OpenAI's error as a sentence; some servers give a text in place of the object."""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    text = str(message or f"{answer.status} {answer.reason}")
    retry = answer.headers.get("Retry-After")
    return f"{text} (try again in {retry} s)" if retry else text
