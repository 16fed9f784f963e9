"""Makes a LoRA adapter for SmolLM2-135M in llama.cpp's form, with random weights: `write_adapter(FILE, SEED)`."""

from __future__ import annotations

import random
from pathlib import Path

from . import gguf

#: Of SmolLM2-135M: attention's input and output width.
WIDTH, LAYERS, RANK = 576, 30, 4


def write_adapter(path: Path, seed: int, strength: float = 0.35) -> None:
    keys: dict[str, gguf.Value] = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(RANK),
    }
    shapes = {
        f"blk.{layer}.attn_q.weight.lora_{side}": (WIDTH, RANK) if side == "a" else (RANK, WIDTH)
        for layer in range(LAYERS)
        for side in "ab"
    }
    gguf.write(path, keys, shapes, random.Random(seed), strength)
