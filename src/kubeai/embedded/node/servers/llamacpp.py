"""llama-server in the shape of a script: llama.cpp's own HTTP server, from the wheels of xllamacpp.

It takes llama-server's flags (and their `LLAMA_ARG_...` variables), so that a Model's `args` mean the same here as in
llama.cpp's container image. It runs in the engine's environment: only the standard library and xllamacpp are here.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Fitting the context to the free memory takes 0.2 s of every start; below this size there is nothing to fit.
_FIT_FROM_BYTES = 512 * 1024 * 1024

#: flags -> attribute of CommonParams, for a value of the given type
_VALUES: tuple[tuple[tuple[str, ...], str, Callable[[str], Any]], ...] = (
    (("-c", "--ctx-size"), "n_ctx", int),
    (("-n", "--n-predict", "--predict"), "n_predict", int),
    (("-b", "--batch-size"), "n_batch", int),
    (("-ub", "--ubatch-size"), "n_ubatch", int),
    (("-np", "--parallel"), "n_parallel", int),
    (("--keep",), "n_keep", int),
    (("-t", "--threads"), "cpuparams.n_threads", int),
    (("-tb", "--threads-batch"), "cpuparams_batch.n_threads", int),
    (("--threads-http",), "n_threads_http", int),
    (("-ngl", "--n-gpu-layers", "--gpu-layers"), "n_gpu_layers", int),
    (("-mg", "--main-gpu"), "main_gpu", int),
    (("--cache-reuse",), "n_cache_reuse", int),
    (("-cram", "--cache-ram"), "cache_ram_mib", int),
    (("--ctx-checkpoints",), "n_ctx_checkpoints", int),
    (("-sps", "--slot-prompt-similarity"), "slot_prompt_similarity", float),
    (("--rope-freq-base",), "rope_freq_base", float),
    (("--rope-freq-scale",), "rope_freq_scale", float),
    (("--yarn-orig-ctx",), "yarn_orig_ctx", int),
    (("--yarn-ext-factor",), "yarn_ext_factor", float),
    (("--yarn-attn-factor",), "yarn_attn_factor", float),
    (("--yarn-beta-slow",), "yarn_beta_slow", float),
    (("--yarn-beta-fast",), "yarn_beta_fast", float),
    (("-s", "--seed"), "sampling.seed", int),
    (("--temp",), "sampling.temp", float),
    (("--top-k",), "sampling.top_k", int),
    (("--top-p",), "sampling.top_p", float),
    (("--min-p",), "sampling.min_p", float),
    (("--repeat-penalty",), "sampling.penalty_repeat", float),
    (("--repeat-last-n",), "sampling.penalty_last_n", int),
    (("--presence-penalty",), "sampling.penalty_present", float),
    (("--frequency-penalty",), "sampling.penalty_freq", float),
    (("--chat-template",), "chat_template", str),
    (("--chat-template-file",), "chat_template", lambda path: Path(path).read_text(encoding="utf-8")),
    (("-m", "--model"), "model.path", str),
    (("-mm", "--mmproj"), "mmproj.path", str),
    (("--port",), "port", int),
    (("--api-prefix",), "api_prefix", str),
    (("--path",), "public_path", str),
    (("--slot-save-path",), "slot_save_path", str),
    (("--ssl-key-file",), "ssl_file_key", str),
    (("--ssl-cert-file",), "ssl_file_cert", str),
    (("-lv", "--verbosity"), "verbosity", int),
)

#: flag -> attribute of CommonParams and the value that it sets
_SWITCHES: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (("--metrics",), "endpoint_metrics", True),
    (("--props",), "endpoint_props", True),
    (("--slots",), "endpoint_slots", True),
    (("--no-slots",), "endpoint_slots", False),
    (("--embedding", "--embeddings"), "embedding", True),
    (("--jinja",), "use_jinja", True),
    (("--no-jinja",), "use_jinja", False),
    (("-cb", "--cont-batching"), "cont_batching", True),
    (("-nocb", "--no-cont-batching"), "cont_batching", False),
    (("--webui", "--ui"), "ui", True),
    (("--no-webui", "--no-ui"), "ui", False),
    (("--warmup",), "warmup", True),
    (("--no-warmup",), "warmup", False),
    (("-kvu", "--kv-unified"), "kv_unified", True),
    (("-no-kvu", "--no-kv-unified"), "kv_unified", False),
    (("--context-shift",), "ctx_shift", True),
    (("--no-context-shift",), "ctx_shift", False),
    (("--cache-prompt",), "cache_prompt", True),
    (("--no-cache-prompt",), "cache_prompt", False),
    (("--swa-full",), "swa_full", True),
    (("--check-tensors",), "check_tensors", True),
    (("-nkvo", "--no-kv-offload"), "no_kv_offload", True),
    (("--no-op-offload",), "no_op_offload", True),
    (("-nr", "--no-repack"), "no_extra_bufts", True),
    (("--no-mmproj",), "no_mmproj", True),
    (("--no-mmproj-offload",), "mmproj_use_gpu", False),
    (("--offline",), "offline", True),
    (("--no-perf",), "no_perf", True),
    (("--prefill-assistant",), "prefill_assistant", True),
    (("--no-prefill-assistant",), "prefill_assistant", False),
    (("--lora-init-without-apply",), "lora_init_without_apply", True),
)

#: flag -> attribute, enum of xllamacpp, prefix of its members, and names that differ from the members'
_CHOICES: tuple[tuple[tuple[str, ...], str, str, str, dict[str, str]], ...] = (
    (("--pooling",), "pooling_type", "llama_pooling_type", "LLAMA_POOLING_TYPE_", {}),
    (("--attention",), "attention_type", "llama_attention_type", "LLAMA_ATTENTION_TYPE_", {}),
    (("--rope-scaling",), "rope_scaling_type", "llama_rope_scaling_type", "LLAMA_ROPE_SCALING_TYPE_", {}),
    (("-sm", "--split-mode"), "split_mode", "llama_split_mode", "LLAMA_SPLIT_MODE_", {}),
    (("-ctk", "--cache-type-k"), "cache_type_k", "ggml_type", "GGML_TYPE_", {}),
    (("-ctv", "--cache-type-v"), "cache_type_v", "ggml_type", "GGML_TYPE_", {}),
    (("--reasoning-format",), "reasoning_format", "common_reasoning_format", "COMMON_REASONING_FORMAT_", {}),
    (
        ("-fa", "--flash-attn"),
        "flash_attn_type",
        "llama_flash_attn_type",
        "LLAMA_FLASH_ATTN_TYPE_",
        {"on": "ENABLED", "off": "DISABLED"},
    ),
)

#: llama-server's variable for a flag, where it is not LLAMA_ARG_ and the flag's own name
_VARIABLES = {
    "--parallel": "LLAMA_ARG_N_PARALLEL",
    "--batch-size": "LLAMA_ARG_BATCH",
    "--ubatch-size": "LLAMA_ARG_UBATCH",
    "--metrics": "LLAMA_ARG_ENDPOINT_METRICS",
    "--props": "LLAMA_ARG_ENDPOINT_PROPS",
    "--slots": "LLAMA_ARG_ENDPOINT_SLOTS",
    "--embedding": "LLAMA_ARG_EMBEDDINGS",
    "--api-key": "LLAMA_API_KEY",
}


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser("llama-server", allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for flags, target, kind in _VALUES:
        parse.add_argument(*flags, dest=target, type=kind)
    for flags, target, value in _SWITCHES:
        parse.add_argument(*flags, dest=target, action="store_const", const=value)
    for flags, target, *_ in _CHOICES:
        parse.add_argument(*flags, dest=target, type=str.lower)
    parse.add_argument("-a", "--alias")
    parse.add_argument("--host")
    parse.add_argument("--rerank", "--reranking", dest="rerank", action="store_true")
    parse.add_argument("--api-key", action="append")
    parse.add_argument("--api-key-file")
    parse.add_argument("--lora", action="append")
    parse.add_argument("--lora-scaled", action="append", nargs="+")
    parse.add_argument("-ts", "--tensor-split")
    parse.add_argument("-to", "--timeout", type=int)
    parse.add_argument("--chat-template-kwargs")
    parse.add_argument("--fit", choices=("on", "off"))
    parse.add_argument("--mlock", dest="load_mode", action="store_const", const="MLOCK")
    parse.add_argument("--mmap", dest="load_mode", action="store_const", const="MMAP")
    parse.add_argument("--no-mmap", dest="load_mode", action="store_const", const="NONE")
    parse.add_argument("--log-disable", "--no-log-colors", dest="quiet", action="store_true")
    return parse


def arguments(argv: Sequence[str], environ: dict[str, str]) -> dict[str, Any]:
    """What is set: by flag, else by variable. Ends the process with a message for a flag that is not known."""
    parse = parser()
    options = [_option(action, environ) for action in parse._actions]
    from_environ = [word for option in options for word in option]
    values, unknown = parse.parse_known_args([*from_environ, *argv])
    if unknown:
        parse.error(
            f"the built-in llama.cpp server does not know {' '.join(unknown)}; install llama-server and put it on PATH"
        )
    return vars(values)


def _option(action: argparse.Action, environ: dict[str, str]) -> list[str]:
    """The flag that a variable stands for, if it is set."""
    flag = next((o for o in action.option_strings if o.startswith("--")), "")
    value = environ.get(_VARIABLES.get(flag, f"LLAMA_ARG_{flag[2:].upper().replace('-', '_')}"))
    if value is None or flag in ("", "--help"):
        return []
    if action.nargs == 0:
        return [flag] if value.lower() in ("1", "true", "on", "enabled") else []
    return [f"{flag}={value}"]


def configure(llama: Any, values: dict[str, Any]) -> Any:
    """CommonParams as llama-server would set them, warm-up aside: the first request is the warm-up."""
    params = llama.CommonParams()
    params.n_parallel, params.kv_unified, params.warmup = 4, True, False
    params.hostnames, params.port = [values.get("host", "127.0.0.1")], 8080
    params.cpuparams.n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
    for target in [t for _, t, _ in _VALUES] + [t for _, t, _ in _SWITCHES]:
        if target in values:
            _set(params, target, values[target])
    for _, target, enum, prefix, names in _CHOICES:
        if target in values:
            word = names.get(values[target], values[target].replace("-", "_").upper())
            _set(params, target, getattr(getattr(llama, enum), prefix + word))
    _configure_rest(llama, params, values)
    return params


def _configure_rest(llama: Any, params: Any, values: dict[str, Any]) -> None:
    params.model_alias = {a for a in values.get("alias", "").split(",") if a}
    if values.get("rerank"):
        params.embedding = True
        params.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    params.api_keys = [*values.get("api_key", ()), *_lines(values.get("api_key_file"))]
    params.lora_adapters = [*_loras(llama, values)]
    if "tensor_split" in values:
        params.tensor_split = [float(part) for part in values["tensor_split"].split(",")]
    if "timeout" in values:
        params.timeout_read = params.timeout_write = values["timeout"]
    if "load_mode" in values:
        params.load_mode = getattr(llama.llama_load_mode, f"LLAMA_LOAD_MODE_{values['load_mode']}")
    if "chat_template_kwargs" in values:
        params.default_template_kwargs = _template_kwargs(values["chat_template_kwargs"])
    large = Path(params.model.path).stat().st_size >= _FIT_FROM_BYTES
    params.fit_params = values["fit"] == "on" if "fit" in values else large


def _set(params: Any, target: str, value: Any) -> None:
    *path, name = target.split(".")
    for part in path:
        params = getattr(params, part)
    setattr(params, name, value)


def _lines(path: str | None) -> list[str]:
    return Path(path).read_text(encoding="utf-8").split() if path else []


def _template_kwargs(text: str) -> dict[str, str]:
    import json

    return {key: json.dumps(value) for key, value in json.loads(text).items()}


def _loras(llama: Any, values: dict[str, Any]) -> list[Any]:
    """`--lora FILE[,FILE]`, `--lora-scaled FILE:SCALE` or `--lora-scaled FILE SCALE`."""
    # The library loads them without applying them, but each request would apply them all the same.
    scale = 0.0 if values.get("lora_init_without_apply") else 1.0
    pairs = [(path, scale) for group in values.get("lora", ()) for path in group.split(",")]
    for words in values.get("lora_scaled", ()):
        path, scale = words if len(words) == 2 else words[0].rsplit(":", 1)
        pairs.append((path, float(scale)))
    adapters = []
    for path, scale in pairs:
        adapter = llama.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, scale
        adapters.append(adapter)
    return adapters


def end_on(ending: signal.Signals) -> None:
    """End this process when the signal comes, whatever the main thread does meanwhile: it may be loading a model.

    All threads from here on leave the signal to the one that waits for it. A handler would run in the main thread only,
    and that does not wake up for a signal which the kernel gave to one of llama.cpp's threads.
    """

    def wait() -> None:
        signal.sigwait({ending})
        os._exit(0)

    signal.pthread_sigmask(signal.SIG_BLOCK, {ending})
    threading.Thread(target=wait, daemon=True).start()


def main(argv: Sequence[str]) -> None:
    end_on(signal.SIGTERM)
    values = arguments(argv, dict(os.environ))
    path = values.get("model.path", "")
    if not Path(path).is_file():
        sys.exit(f"llama-server: there is no model file {path!r}; give one with --model FILE")
    import xllamacpp

    server = xllamacpp.Server(configure(xllamacpp, values))
    print(f"llama-server: listening on {server.listening_address}", flush=True)  # noqa: T201
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
