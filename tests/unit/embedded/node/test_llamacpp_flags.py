"""llama-server's flags, as the server from the wheel takes them. The engine itself is not here: only its settings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubeai.embedded.node.servers.llamacpp import arguments, configure


class Members:
    """An enum of the engine: every member is known, and is its own name."""

    def __getattr__(self, name: str) -> str:
        return name


def parameters() -> SimpleNamespace:
    nested = {name: SimpleNamespace() for name in ("cpuparams", "cpuparams_batch", "sampling", "model", "mmproj")}
    return SimpleNamespace(**nested)


def adapter() -> SimpleNamespace:
    return SimpleNamespace()


ENUMS = (
    "llama_pooling_type llama_attention_type llama_rope_scaling_type llama_split_mode ggml_type llama_load_mode "
    "common_reasoning_format llama_flash_attn_type"
)
ENGINE = SimpleNamespace(
    CommonParams=parameters, CommonAdapterLoraInfo=adapter, **{name: Members() for name in ENUMS.split()}
)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    (tmp_path / "model.gguf").write_bytes(b"gguf")
    return str(tmp_path / "model.gguf")


def set_by(weights: str, *flags: str, **variables: str) -> Any:
    return configure(ENGINE, arguments(["--model", weights, *flags], variables))


def value(params: Any, path: str) -> Any:
    for name in path.split("."):
        params = getattr(params, name)
    return params


@pytest.mark.parametrize(
    ("flags", "attribute", "expected"),
    [
        pytest.param(["--host=127.70.1.2"], "hostnames", ["127.70.1.2"], id="where it listens"),
        pytest.param(["--port", "8000"], "port", 8000, id="a number in its own word"),
        pytest.param(["-c", "4096"], "n_ctx", 4096, id="a short flag"),
        pytest.param(["-ngl", "99"], "n_gpu_layers", 99, id="a short flag of several letters"),
        pytest.param(["--alias=chat,other"], "model_alias", {"chat", "other"}, id="names"),
        pytest.param(["--temp=0.5"], "sampling.temp", 0.5, id="a nested setting"),
        pytest.param(["--metrics"], "endpoint_metrics", True, id="a switch"),
        pytest.param(["--no-jinja"], "use_jinja", False, id="a switch that turns off"),
        pytest.param(["--embeddings"], "embedding", True, id="embeddings"),
        pytest.param(["--reranking"], "pooling_type", "LLAMA_POOLING_TYPE_RANK", id="reranking is a kind of pooling"),
        pytest.param(["--pooling", "mean"], "pooling_type", "LLAMA_POOLING_TYPE_MEAN", id="a choice"),
        pytest.param(["-fa", "on"], "flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_ENABLED", id="a choice by another name"),
        pytest.param(["--cache-type-k=q8_0"], "cache_type_k", "GGML_TYPE_Q8_0", id="a type"),
        pytest.param(["--no-mmap"], "load_mode", "LLAMA_LOAD_MODE_NONE", id="how the file is loaded"),
        pytest.param(["--api-key", "a", "--api-key", "b"], "api_keys", ["a", "b"], id="keys"),
        pytest.param(["--timeout=5"], "timeout_write", 5, id="one flag, two settings"),
        pytest.param(["--tensor-split", "3,1"], "tensor_split", [3.0, 1.0], id="a list of numbers"),
        pytest.param(
            ["--chat-template-kwargs", '{"a": true}'], "default_template_kwargs", {"a": "true"}, id="a JSON object"
        ),
        pytest.param([], "n_parallel", 4, id="as many slots as llama-server has"),
        pytest.param([], "fit_params", False, id="a small model need not be fitted"),
        pytest.param(["--fit=on"], "fit_params", True, id="unless it is asked for"),
    ],
)
def test_a_flag_sets_what_it_sets_in_llama_server(
    weights: str, flags: list[str], attribute: str, expected: object
) -> None:
    assert value(set_by(weights, *flags), attribute) == expected


@pytest.mark.parametrize(
    ("variable", "text", "attribute", "expected"),
    [
        pytest.param("LLAMA_ARG_CTX_SIZE", "4096", "n_ctx", 4096, id="by the flag's name"),
        pytest.param("LLAMA_ARG_N_PARALLEL", "2", "n_parallel", 2, id="by llama-server's own name"),
        pytest.param("LLAMA_ARG_ENDPOINT_METRICS", "1", "endpoint_metrics", True, id="a switch"),
        pytest.param("LLAMA_API_KEY", "k", "api_keys", ["k"], id="the key"),
    ],
)
def test_variables_set_what_flags_do_not(
    weights: str, variable: str, text: str, attribute: str, expected: object
) -> None:
    assert value(set_by(weights, **{variable: text}), attribute) == expected


def test_a_flag_wins_over_a_variable(weights: str) -> None:
    assert set_by(weights, "--ctx-size=1", LLAMA_ARG_CTX_SIZE="2").n_ctx == 1


def test_adapters_come_with_their_scale(weights: str) -> None:
    params = set_by(weights, "--lora", "a,b", "--lora-scaled", "c:0.5", "--lora-scaled", "d", "2")
    assert [(a.path, a.scale) for a in params.lora_adapters] == [("a", 1.0), ("b", 1.0), ("c", 0.5), ("d", 2.0)]


def test_an_unknown_flag_ends_it_with_what_to_do(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        set_by(weights, "--no-such-flag")
    assert "does not know --no-such-flag; install llama-server and put it on PATH" in capsys.readouterr().err
