"""Keeps one model in an Ollama server: pulled, under its Model's name, and loaded.

Ollama pulls models while it runs, so this is a companion of the server and does not end. It speaks Ollama's HTTP API
only: no shell and no command line ever sees the model's name (fault O8). `/readyz` answers 200 exactly while the
model is there; a server that has been restarted gets it again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kubeai.api.modelurl import ModelURL, ModelURLError, parse_model_url

from .errors import LoadError
from .progress import ProgressLines

_LOOK_AGAIN_S = 2.0
_RETRIES_S = (0.2, 0.5, 1, 2, 5, 10, 30)
#: Loading a large model from a slow disk takes this long at most; a pull only has to keep sending.
_TIMEOUT_S = 600
_STOP_POLL_S = 0.05

Say = Callable[[str], None]


def keep(src: str, dest: str, listen: str, say: Say) -> None:
    """Run for ever. `dest` is http://HOST:PORT/NAME, `listen` is where `/readyz` answers. Raises `LoadError`."""
    try:
        url = parse_model_url(src)
    except ModelURLError as error:
        raise LoadError(str(error)) from error
    base, _, name = dest.rpartition("/")
    if not base.startswith("http") or not name:
        raise LoadError(f"{dest}: an ollama:// source needs a destination of the form http://HOST:PORT/NAME")
    keeper = Keeper(OllamaAPI(base), url, name, say)
    with readiness(listen, keeper):
        keeper.run()


class OllamaError(Exception):
    """The server refused, or did not answer. The text is its own."""


@dataclass(frozen=True, slots=True)
class OllamaAPI:
    """The few calls of Ollama's API that this needs."""

    base: str

    def has_loaded(self, name: str) -> bool:
        return _lists(self._call("GET", "/api/ps"), name)

    def has(self, name: str) -> bool:
        return _lists(self._call("GET", "/api/tags"), name)

    def pull(self, ref: str, insecure: bool, on_progress: Callable[[str, int, int | None], None]) -> None:
        body = {"model": ref, "insecure": insecure, "stream": True}
        with self._open("POST", "/api/pull", body) as answer:
            for line in answer:
                report = json.loads(line)
                if "error" in report:
                    raise OllamaError(report["error"])
                if report.get("total"):
                    on_progress(ref, int(report.get("completed") or 0), int(report["total"]))

    def copy(self, ref: str, name: str) -> None:
        self._call("POST", "/api/copy", {"source": ref, "destination": name})

    def load(self, name: str) -> None:
        """An empty prompt loads the model and makes no text."""
        self._call("POST", "/api/generate", {"model": name, "keep_alive": -1, "stream": False})

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        with self._open(method, path, body) as answer:
            content = answer.read()
            return json.loads(content) if content.strip() else {}

    @contextlib.contextmanager
    def _open(self, method: str, path: str, body: Any = None) -> Iterator[Any]:
        """The answer. Whatever goes wrong until it is read is an `OllamaError`: a server may die in the midst of it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        # The proxy of the surroundings is for the world outside, never for the server beside us (fault P14).
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            raise OllamaError(_reason(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OllamaError(f"{self.base} does not answer: {getattr(error, 'reason', error)}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


def _lists(answer: Any, name: str) -> bool:
    """Ollama adds the tag `latest` to a name without one."""
    names = {m.get("name") for m in answer.get("models") or ()}
    return name in names or f"{name}:latest" in names


class Keeper:
    """Brings the model into the server, and again whenever the server has lost it."""

    def __init__(self, api: OllamaAPI, url: ModelURL, name: str, say: Say) -> None:
        self._api = api
        self._url = url
        self._name = name
        self._say = say
        self._progress = ProgressLines(say)
        self._load = url.params.get("load") != "false"
        #: None while the model is there, else why it is not
        self.missing: str | None = "the model has not been looked for yet"

    def run(self) -> None:
        failures = 0
        while True:
            failures = 0 if self.ensure() else failures + 1
            time.sleep(_RETRIES_S[min(failures, len(_RETRIES_S)) - 1] if failures else _LOOK_AGAIN_S)

    def ensure(self) -> bool:
        """One look, and all that is missing done. Whether the model is there now."""
        try:
            if not self._there():
                self._bring()
        except OllamaError as error:
            self._now_missing(str(error))
            return False
        if self.missing is not None:
            self._say(f"{self._url.raw} is there as {self._name}")
        self.missing = None
        return True

    def _there(self) -> bool:
        return self._api.has_loaded(self._name) if self._load else self._api.has(self._name)

    def _bring(self) -> None:
        if self.missing is None:  # the server was restarted
            self._now_missing("the server has lost the model")
        if self._url.pull and not self._api.has(self._name):
            self._api.pull(self._url.ref, self._url.insecure, self._progress)
        if not self._api.has(self._name):
            self._api.copy(self._url.ref, self._name)
        if self._load:
            self._api.load(self._name)

    def _now_missing(self, why: str) -> None:
        if why != self.missing:
            self._say(why)
        self.missing = why


@contextlib.contextmanager
def readiness(listen: str, keeper: Keeper) -> Iterator[int]:
    """Answers `/readyz` in a thread of its own while the keeper works; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = keeper.missing if self.path == "/readyz" else "there is only /readyz here"
            self.send_response(503 if missing else 200)
            self.end_headers()
            self.wfile.write((missing or "ok").encode())

        def log_message(self, *_: object) -> None:
            pass

    host, _, port = listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, args=(_STOP_POLL_S,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
