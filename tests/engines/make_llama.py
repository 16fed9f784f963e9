"""Makes a tiny Llama, or a LoRA adapter for it, with random weights: `python make_llama.py model|adapter DIR [SEED]`.

Neither knows anything; what they show is whose weights were used, since each says something of its own. It is run by
the interpreter of the vLLM environment, which has all that it imports.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np  # type: ignore[import-not-found]
from safetensors.numpy import save_file  # type: ignore[import-not-found]
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # type: ignore[import-not-found]

WIDTH, HIDDEN, LAYERS, HEADS, RANK = 128, 256, 2, 4, 8
SPECIAL = ["<unk>", "<s>", "</s>"]
CORPUS = ["the model replica pod node is ready to scale the cluster gateway token hello world fast and slow"] * 50
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}[assistant] "
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
}


def make_model(directory: Path, seed: int) -> None:
    tokenizer = make_tokenizer()
    size = tokenizer.get_vocab_size()
    tokenizer.save(str(directory / "tokenizer.json"))
    words = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    write(directory / "tokenizer_config.json", words | {"chat_template": TEMPLATE})
    write(directory / "config.json", CONFIG | {"vocab_size": size})
    save_file(model_weights(np.random.default_rng(seed), size), directory / "model.safetensors", {"format": "pt"})


def make_tokenizer() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def model_weights(random: np.random.Generator, size: int) -> dict[str, Any]:
    def weights(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.02).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    head = weights(size, WIDTH)
    head[: len(SPECIAL) + 256] = 0  # neither a special token nor a single byte ever wins
    found = {"model.embed_tokens.weight": weights(size, WIDTH), "model.norm.weight": ones, "lm_head.weight": head}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        found |= {f"{at}.self_attn.{p}_proj.weight": weights(WIDTH, WIDTH) for p in "qkvo"}
        found |= {f"{at}.mlp.{p}_proj.weight": weights(HIDDEN, WIDTH) for p in ("gate", "up")}
        found[f"{at}.mlp.down_proj.weight"] = weights(WIDTH, HIDDEN)
        found |= {f"{at}.{p}_layernorm.weight": ones for p in ("input", "post_attention")}
    return found


def make_adapter(directory: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = {
        f"base_model.model.model.layers.{layer}.self_attn.{part}_proj.lora_{side}.weight": (
            random.standard_normal((RANK, WIDTH) if side == "A" else (WIDTH, RANK)) * 0.5
        ).astype(np.float32)
        for layer in range(LAYERS)
        for part in "qv"
        for side in "AB"
    }
    save_file(weights, directory / "adapter_model.safetensors")
    sizes = {
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
    }
    write(directory / "adapter_config.json", {"peft_type": "LORA", "task_type": "CAUSAL_LM"} | sizes)


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def main(what: str, directory: Path, seed: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    {"model": make_model, "adapter": make_adapter}[what](directory, seed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
