"""A model server that is ready at once: what remains of a cold start is our own share.

It stands on PATH as `llama-server`, takes that server's --host and --port, writes the moment from which it answers to
the file named by READY_FILE, and answers every POST with one small completion.
"""

from __future__ import annotations

import os
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler

ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Paris"},"finish_reason":"stop"}]}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b'{"status":"ok"}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer(ANSWER)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def option(name: str) -> str:
    return next(arg.split("=", 1)[1] for arg in sys.argv if arg.startswith(f"--{name}="))


def main() -> None:
    with Server((option("host"), int(option("port"))), Handler) as server:
        with open(os.environ["READY_FILE"], "w", encoding="ascii") as file:
            file.write(repr(time.time()))
        server.serve_forever()


if __name__ == "__main__":
    main()
