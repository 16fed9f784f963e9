from __future__ import annotations

import json

import pytest

from kubeai.inference.tokens import NOTHING, find_tokens

#: Answers as real servers write them.
ANSWERS = {
    "OpenAI and vLLM": (
        b'{"id":"1","choices":[],"usage":{"prompt_tokens":5,"total_tokens":12,"completion_tokens":7,'
        b'"prompt_tokens_details":null},"prompt_logprobs":null}',
        (5, 7),
    ),
    "llama.cpp, with timings behind": (
        b'{"choices":[],"usage":{"completion_tokens":7,"prompt_tokens":5,"total_tokens":12,"prompt_tokens_details":'
        b'{"cached_tokens":3}},"id":"x","timings":{"prompt_n":5}}',
        (5, 7),
    ),
    "embeddings, with usage first": (
        b'{"model":"e","object":"list","usage":{"prompt_tokens":4,"total_tokens":4},"data":['
        + b"0.25," * 20_000
        + b"0]}",
        (4, None),
    ),
    "embeddings, with usage last": (b'{"data":[' + b"1," * 20_000 + b'1],"usage":{"prompt_tokens": 4}}', (4, None)),
    "Anthropic": (b'{"type":"message","usage":{"input_tokens":3,"output_tokens":9}}', (3, 9)),
    "a short stream of Anthropic's in one piece": (
        b'data: {"message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\ndata: {"usage":{"output_tokens":9}}\n\n',
        (3, 9),
    ),
    "the same with much between": (
        b'{"usage":{"input_tokens":3,"output_tokens":1}}' + b" " * 20_000 + b'{"usage":{"output_tokens":9}}',
        (3, 9),
    ),
    "arguments of a tool that look like usage": (
        b'{"content":[{"input":{"usage":{"input_tokens":0}}}],"usage":{"input_tokens":3,"output_tokens":9}}',
        (3, 9),
    ),
    "pretty printed": (b'{\n  "usage" : {\n    "prompt_tokens" : 1,\n    "completion_tokens" :\t2\n  }\n}', (1, 2)),
    "no usage": (b'{"choices":[]}', (None, None)),
    "usage that is null": (b'{"usage":null,"id":"prompt"}', (None, None)),
    "nothing": (b"", (None, None)),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_tokens_are_found(answer: bytes, expected: tuple[int | None, int | None]) -> None:
    assert find_tokens(answer) == expected


def test_what_the_model_says_is_not_taken_for_usage() -> None:
    text = json.dumps({"usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    answer = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    assert find_tokens(answer) == NOTHING
