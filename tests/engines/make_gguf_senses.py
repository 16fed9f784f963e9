"""Makes eyes and ears for SmolLM2-135M in llama.cpp's form: `write_senses(FILE)`.

They are a small vision transformer with llava's projector and a small encoder of Whisper's form with Ultravox'
projector, to the model's width, with random weights: the model reads something in an image or a sound, and something
else in another one, but nothing that makes sense.
"""

from __future__ import annotations

import random
from pathlib import Path

from . import gguf

#: Of SmolLM2-135M.
MODEL_WIDTH = 576
WIDTH, INNER_WIDTH, LAYERS, HEADS = 32, 64, 2, 2
IMAGE, PATCH = 56, 14
#: Of half a minute of sound, as Whisper hears it. So many of its frames become one token.
BANDS, FRAMES, STACKED = 80, 1500, 20
#: What they cost in the prompt.
IMAGE_TOKENS, SOUND_TOKENS = (IMAGE // PATCH) ** 2, FRAMES // STACKED

Shapes = dict[str, tuple[int, ...]]

_ENCODER: dict[str, gguf.Value] = {
    "embedding_length": WIDTH,
    "feed_forward_length": INNER_WIDTH,
    "projection_dim": MODEL_WIDTH,
    "block_count": LAYERS,
    "attention.head_count": HEADS,
    "attention.layer_norm_epsilon": 1e-5,
}
_EYES: dict[str, gguf.Value] = {
    "projector_type": "mlp",
    "image_size": IMAGE,
    "patch_size": PATCH,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
_EARS: dict[str, gguf.Value] = {
    "projector_type": "ultravox",
    "num_mel_bins": BANDS,
    "projector.stack_factor": STACKED,
}


def write_senses(path: Path) -> None:
    keys: dict[str, gguf.Value] = {
        "general.architecture": "clip",
        "general.file_type": 0,
        "clip.has_vision_encoder": True,
        "clip.has_audio_encoder": True,
        "clip.use_gelu": True,
        **{f"clip.vision.{name}": value for name, value in (_ENCODER | _EYES).items()},
        **{f"clip.audio.{name}": value for name, value in (_ENCODER | _EARS).items()},
    }
    gguf.write(path, keys, _eyes() | _ears(), random.Random(1), 0.1)


def _eyes() -> Shapes:
    return _layers("v", with_key_bias=True) | {
        "v.patch_embd.weight": (PATCH, PATCH, 3, WIDTH),
        "v.position_embd.weight": (WIDTH, IMAGE_TOKENS),
        "mm.0.weight": (WIDTH, MODEL_WIDTH),
        "mm.0.bias": (MODEL_WIDTH,),
        "mm.2.weight": (MODEL_WIDTH, MODEL_WIDTH),
        "mm.2.bias": (MODEL_WIDTH,),
    }


def _ears() -> Shapes:
    return _layers("a", with_key_bias=False) | {
        "a.conv1d.1.weight": (3, BANDS, WIDTH),
        "a.conv1d.1.bias": (1, WIDTH),
        "a.conv1d.2.weight": (3, WIDTH, WIDTH),
        "a.conv1d.2.bias": (1, WIDTH),
        "a.position_embd.weight": (WIDTH, FRAMES),
        "a.post_ln.weight": (WIDTH,),
        "a.post_ln.bias": (WIDTH,),
        "mm.a.norm_pre.weight": (WIDTH * STACKED,),
        "mm.a.mlp.1.weight": (WIDTH * STACKED, 2 * INNER_WIDTH),
        "mm.a.norm_mid.weight": (INNER_WIDTH,),
        "mm.a.mlp.2.weight": (INNER_WIDTH, MODEL_WIDTH),
    }


def _layers(prefix: str, with_key_bias: bool) -> Shapes:
    linear = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_out"), (WIDTH, WIDTH))
    linear |= {"ffn_up": (WIDTH, INNER_WIDTH), "ffn_down": (INNER_WIDTH, WIDTH)}
    shapes: Shapes = {}
    for layer in range(LAYERS):
        block = f"{prefix}.blk.{layer}"
        shapes |= {f"{block}.{name}.weight": shape for name, shape in linear.items()}
        shapes |= {f"{block}.{n}.bias": s[1:] for n, s in linear.items() if with_key_bias or n != "attn_k"}
        shapes |= {f"{block}.{norm}.{part}": (WIDTH,) for norm in ("ln1", "ln2") for part in ("weight", "bias")}
    return shapes
