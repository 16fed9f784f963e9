"""OpenAI's own library for JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import SOURCES

pytestmark = pytest.mark.clients


def test_chats_streams_tool_calls_embeddings_and_errors(base_url: str, modules: Path) -> None:
    environment = os.environ | {"NODE_PATH": str(modules)}
    command = ["node", str(SOURCES / "calls.js"), base_url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert "Paris" in said["chat"]
    assert len(said["stream"]) > 3
    assert "Paris" in "".join(said["stream"])
    assert said["vectors"] == [576, 576]
    assert {"smollm2", "tools"} <= set(said["models"])
    assert said["called"].pop("answer")
    assert said["called"] == {"name": "get_weather", "arguments": {"city": "Paris"}}
    assert (said["unknown"], said["unsupported"]) == ("NotFoundError", "BadRequestError")
