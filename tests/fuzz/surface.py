"""schemathesis against the OpenAPI document: whatever fits it, or nearly does, gets an answer that it describes."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubeai.api.model import Feature
from kubeai.api.openai.document import openapi
from tests.builders import model
from tests.unit.gateway.engine import engine
from tests.unit.gateway.world import World, world

from .corpus import remember

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,negative_data_rejection"
)
_FEATURES: tuple[Feature, ...] = (
    "TextGeneration",
    "TextEmbedding",
    "Reranking",
    "SpeechToText",
    "TextToSpeech",
    "ImageGeneration",
)


@asynccontextmanager
async def served() -> AsyncIterator[World]:
    """A gateway with one Model, `m`, that does everything."""
    async with world(model(features=list(_FEATURES), engine="VLLM"), waitTimeout=5) as w, engine() as e:
        w.serve(e)
        yield w


def with_names(document: dict[str, Any]) -> dict[str, Any]:
    """The document with names of Models that there are, so that not each request is one for nobody."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content["schema"]["properties"]["model"]["enum"] = ["m", "nobody"]
    return document


async def explore(seconds: float, chance: int = 0) -> str:
    """A line of the report. Raises `AssertionError` with what schemathesis says; the requests are kept.

    The same `chance` leads to the same requests, 0 to others each time.
    """
    async with served() as w:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "openapi.json"
            path.write_text(json.dumps(with_names(openapi())))
            events = Path(directory) / "events"
            report, status = await _run(path, events, f"http://127.0.0.1:{w.gateway.port}", seconds, chance)
            failed = failed_requests(events.read_text().splitlines()) if events.exists() else []
    if status:
        kept = f"{len(failed)} requests are kept in {remember('surface', failed)}" if failed else "no request is kept"
        raise AssertionError(f"schemathesis found something; {kept}:\n{report[-8000:]}")
    cases = re.search(r"(\d+) generated", report)
    return f"schemathesis: {cases[1] if cases else '?'} requests made from the OpenAPI document"


async def _run(document: Path, events: Path, url: str, seconds: float, chance: int) -> tuple[str, int]:
    options = ["--url", url, "--checks", CHECKS, "--max-time", f"{seconds:.0f}", "--no-color", "--warnings", "off"]
    options += ["--report", "ndjson", "--report-ndjson-path", str(events)]
    options += ["--output-sanitize", "false", *(["--seed", str(chance)] if chance else [])]
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(document), *options]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=document.parent
    )
    out, _ = await process.communicate()
    return out.decode("utf-8", "replace"), process.returncode or 0


def failed_requests(events: Iterable[str]) -> list[bytes]:
    """From schemathesis' report: for each operation and each check the smallest request that failed it."""
    smallest: dict[tuple[str, str], bytes] = {}
    for line in events:
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for case, checks in recorder.get("checks", {}).items():
            for name in [check["name"] for check in checks if check["status"] == "failure"]:
                data = _on_the_wire(recorder["interactions"][case]["request"])
                key = (recorder["label"], name)
                smallest[key] = min(smallest.get(key, data), data, key=len)
    return list(dict.fromkeys(smallest.values()))


def _on_the_wire(request: dict[str, Any]) -> bytes:
    """The bytes of a request, as any client would send them."""
    target = urlsplit(request["uri"])._replace(scheme="", netloc="").geturl() or "/"
    body = base64.b64decode((request.get("body") or {}).get("$base64", ""))
    lines = [f"{request['method']} {target} HTTP/1.1", "Host: h"]
    for name, values in request["headers"].items():
        if name.lower() not in ("host", "content-length", "transfer-encoding"):
            lines += [f"{name}: {value}" for value in values]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
