"""A model server at a given pace, called as vLLM is: the words of its answers are numbers, so none can be lost unseen.

A request says how far apart they are (`pace_s`), and how many (`max_tokens`); without a number they come until somebody
connects to port 8001. On SIGTERM it does what vLLM does: takes no new connection, finishes what runs, and ends. It has
vLLM's routes for adapters, too, and takes one only if its files are there.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %b\r\n\r\n"
MISSING = HEAD.replace(b"200 OK", b"404 Not Found")


class Server:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._release = asyncio.Event()
        #: Name -> directory.
        self._adapters: dict[str, str] = {}

    async def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        server = await asyncio.start_server(self._accept, "0.0.0.0", 8000, backlog=1024)
        await asyncio.start_server(lambda _, writer: self._let_go(writer), "0.0.0.0", 8001)
        await self._stop.wait()
        server.close()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _let_go(self, writer: asyncio.StreamWriter) -> None:
        self._release.set()
        self._release = asyncio.Event()
        writer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._exchange(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            path = head.split(b" ")[1].decode()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = json.loads(await reader.readexactly(length) or b"{}")
            if path.endswith("/completions"):
                await self._answer(body, writer)
            elif path.endswith("_lora_adapter"):
                writer.write((HEAD if self._change(path, body) else MISSING) % b"text/plain" + b"lora")
            else:
                writer.write(HEAD % b"application/json" + json.dumps({"data": self._models()}).encode())
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _change(self, path: str, body: dict[str, str]) -> bool:
        if "/unload" in path:
            return self._adapters.pop(body["lora_name"], None) is not None
        if not os.path.isfile(f"{body['lora_path']}/adapter_config.json"):
            return False
        self._adapters[body["lora_name"]] = body["lora_path"]
        return True

    def _models(self) -> list[dict[str, str]]:
        return [{"id": name, "root": root, "parent": "base"} for name, root in self._adapters.items()]

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % b"text/event-stream")
        number, release = 0, self._release
        while number < body["max_tokens"] if "max_tokens" in body else not release.is_set():
            if number:
                await asyncio.sleep(body["pace_s"])
            delta = {"content": str(number)}
            marks = {"served_by": os.environ["HOSTNAME"], "tag": os.environ.get("TAG"), "model": body["model"]}
            chunk = {"choices": [{"delta": delta}], **marks}
            writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await writer.drain()
            number += 1
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()


asyncio.run(Server().run())
