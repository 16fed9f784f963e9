from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from tests.e2e.conftest import ROOT, Instance
from tests.engines.make_gguf_senses import write_senses

#: Scripts that use libraries for JavaScript.
SOURCES = Path(__file__).parent / "javascript"
#: llama.cpp reads in a model's template how that model calls tools, and holds the model to it where a call is required.
#: It lets any text stand before a call, where content has no marks of its own: so small a model would go on for ever.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
Answer by calling a function. These are there:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
Call one so: <tool_call>
{"name": NAME, "arguments": ARGUMENTS}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.role == 'assistant' and message.content %}<answer>{{ message.content }}</answer>
{%- else %}{{ message.content or '' }}{% endif %}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def _manifest(name: str, features: list[str], *args: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((ROOT / "examples/smollm2.yaml").read_text())
    manifest["metadata"]["name"] = name
    manifest["spec"] |= {"features": features, "args": ["--ctx-size=4096", "--temp=0", *args], "minReplicas": 1}
    return manifest


@pytest.fixture(scope="session")
def kubeai(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """`kubeai up` with a chat model, one that calls tools, one that sees and hears, one that embeds: all SmolLM2."""
    root = tmp_path_factory.mktemp("clients")
    instance = Instance(root / "data", ("--model", str(ROOT / "examples/smollm2.yaml")))
    write_senses(root / "senses.gguf")
    try:
        instance.start()
        instance.apply(
            _manifest("tools", ["TextGeneration"], "--jinja", f"--chat-template={TEMPLATE}"),
            _manifest("senses", ["TextGeneration"], "--chat-template=chatml", f"--mmproj={root}/senses.gguf"),
            _manifest("vectors", ["TextEmbedding"], "--pooling=mean"),
        )
        yield instance
    finally:
        if instance.process is not None and instance.process.poll() is None:
            instance.stop()


@pytest.fixture(scope="session")
def base_url(kubeai: Instance) -> str:
    return f"{kubeai.url}/openai/v1"


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own library for Python."""
    with openai.OpenAI(base_url=base_url, api_key="none", timeout=100, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library in the version of the lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on PATH: OpenAI's JavaScript library is not tried")
    directory = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, directory)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=directory, check=True, timeout=250)
    return directory / "node_modules"
