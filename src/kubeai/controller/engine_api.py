"""What the operator asks of a model server itself: which adapters it has, to load one, to forget one.

The calls go straight to the Pod: no proxy of the environment applies (fault P14). An answer that says that it was done
before is a success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

import aiohttp
import msgspec

_LIST_TIMEOUT_S = 10.0
#: Loading reads some hundred megabytes from a disk that may be busy, and waits for running batches.
_LOAD_TIMEOUT_S = 300.0
_MAX_TEXT = 300


class EngineError(Exception):
    """The server did not do it. The text says why, in its own words if it has some."""


class AdapterServer(Protocol):
    """A server that loads adapters while it runs. `base` is its URL; all raise `EngineError`."""

    async def adapters(self, base: str) -> Mapping[str, str]:
        """Name -> the path that it was loaded from."""
        ...

    async def load(self, base: str, name: str, path: str) -> None: ...

    async def unload(self, base: str, name: str) -> None: ...


class VLLM:
    """vLLM's routes for LoRA adapters. An async context manager."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> VLLM:
        self._session = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def adapters(self, base: str) -> Mapping[str, str]:
        status, text = await self._ask("GET", f"{base}/v1/models", None, _LIST_TIMEOUT_S)
        if status != 200:
            raise EngineError(f"GET /v1/models: {_words(status, text)}")
        try:
            cards = msgspec.json.decode(text, type=_Models).data
        except msgspec.DecodeError as error:
            raise EngineError(f"GET /v1/models: the answer is no list of models: {error}") from error
        # Adapters have a parent; the model that the server was started with has none.
        return {card.id: card.root or "" for card in cards if card.parent}

    async def load(self, base: str, name: str, path: str) -> None:
        await self._post(base, "load_lora_adapter", {"lora_name": name, "lora_path": path}, "already been loaded")

    async def unload(self, base: str, name: str) -> None:
        await self._post(base, "unload_lora_adapter", {"lora_name": name}, "cannot be found")

    async def _post(self, base: str, route: str, body: dict[str, str], done: str) -> None:
        status, text = await self._ask("POST", f"{base}/v1/{route}", body, _LOAD_TIMEOUT_S)
        if status == 200 or (status in (400, 404) and done.encode() in text):
            return
        if status in (404, 405) and b"lora" not in text.lower():
            raise EngineError(
                f"the server has no route /v1/{route}: it needs the environment variable "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and the argument --enable-lora"
            )
        raise EngineError(f"POST /v1/{route}: {_words(status, text)}")

    async def _ask(self, method: str, url: str, body: dict[str, str] | None, timeout_s: float) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("enter it first: async with VLLM() as servers")
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(method, url, json=body, allow_redirects=False) as answer,
            ):
                return answer.status, await answer.read()
        except TimeoutError as error:
            raise EngineError(f"{method} {url}: no answer in {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineError(f"{method} {url}: {error}") from error


class _Card(msgspec.Struct):
    id: str
    root: str | None = None
    parent: str | None = None


class _Models(msgspec.Struct):
    data: list[_Card]


def _words(status: int, text: bytes) -> str:
    """The server's own message, in one of the two forms that vLLM had."""
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict):
        inner = found.get("error")
        message = (inner.get("message") if isinstance(inner, dict) else None) or found.get("message")
        if message:
            return f"{status} {message}"
    return f"{status} {text[:_MAX_TEXT].decode(errors='replace').strip()}"
