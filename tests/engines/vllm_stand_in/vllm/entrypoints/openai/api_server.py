"""Stands in for vLLM where several gigabytes are too much: the same command line, routes and words as vLLM 0.32's.

It generates nothing: a completion is the first line of the adapter's `says` file, or of the model's. The real server is
put through the same test (`make test-engines`), so that this one cannot drift.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

Answer = tuple[int, Any]


def failure(status: int, type: str, message: str) -> Answer:
    return status, {"error": {"message": message, "type": type, "param": None, "code": status}}


class Server(ThreadingHTTPServer):
    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__((arguments.host, arguments.port), Handler)
        self.model = str(arguments.model)
        self.name = arguments.served_model_name or self.model
        self.enable_lora = bool(arguments.enable_lora)
        self.runtime_updating = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").lower() in ("1", "true")
        #: name -> path
        self.adapters: dict[str, str] = {}
        self.lock = threading.Lock()

    def card(self, id: str, root: str, parent: str | None) -> dict[str, Any]:
        return {"id": id, "object": "model", "owned_by": "vllm", "root": root, "parent": parent}

    def models(self) -> Answer:
        cards = [self.card(self.name, self.model, None)]
        return 200, {"object": "list", "data": cards + [self.card(n, p, self.name) for n, p in self.adapters.items()]}

    def load(self, body: dict[str, Any]) -> Answer:
        name, path = body.get("lora_name"), body.get("lora_path")
        if not name or not path:
            return failure(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
        if name in self.adapters and not body.get("load_inplace"):
            return failure(
                400,
                "InvalidUserInput",
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                "'load_inplace' to True.",
            )
        if not self.enable_lora:
            return failure(500, "InternalServerError", "Call to add_lora method failed: LoRA is not enabled.")
        if not (Path(path) / "adapter_config.json").is_file():
            return failure(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")
        self.adapters[name] = path
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, body: dict[str, Any]) -> Answer:
        name = body.get("lora_name")
        if not name:
            return failure(400, "InvalidUserInput", "'lora_name' needs to be provided to unload a LoRA adapter.")
        if name not in self.adapters:
            return failure(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        return 200, f"Success: LoRA adapter '{name}' removed successfully."

    def complete(self, body: dict[str, Any]) -> Answer:
        name = body.get("model", "")
        path = self.model if name == self.name else self.adapters.get(name)
        if path is None:
            return failure(404, "NotFoundError", f"The model `{name}` does not exist.")
        text = (Path(path) / "says").read_text().splitlines()[0]
        return 200, {"object": "text_completion", "model": name, "choices": [{"index": 0, "text": text}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    posts: ClassVar = {
        "/v1/completions": Server.complete,
        "/v1/load_lora_adapter": Server.load,
        "/v1/unload_lora_adapter": Server.unload,
    }

    def do_GET(self) -> None:
        self.reply(*{"/health": lambda: (200, ""), "/v1/models": self.server.models}.get(self.path, not_found)())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        known = self.posts.get(self.path)
        if known is None or ("lora" in self.path and not self.server.runtime_updating):
            self.reply(*not_found())
            return
        with self.server.lock:
            answer = known(self.server, body)
        self.reply(*answer)

    def reply(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def not_found() -> Answer:
    return 404, {"detail": "Not Found"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int)
    Server(parser.parse_args()).serve_forever()


if __name__ == "__main__":
    main()
