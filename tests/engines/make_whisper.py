"""Makes a tiny Whisper with random weights in CTranslate2's form: `python make_whisper.py DIR`.

It hears nothing and says words of its small vocabulary; what it shows is that audio goes in and text comes out. It is
run by the interpreter of the faster-whisper engine, which has all that it imports.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ctranslate2  # type: ignore[import-not-found]
import numpy as np  # type: ignore[import-not-found]
from tokenizers import (  # type: ignore[import-not-found]
    AddedToken,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    trainers,
)

WIDTH, LAYERS, HEADS, HIDDEN, MELS = 64, 2, 2, 256, 80
TEXT_TOKENS, ALL_TOKENS = 50257, 51865
LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su"
)
CORPUS = ["the model replica pod node is ready to scale the cluster gateway token hello world"] * 50


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer, words = make_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    spec = ctranslate2.specs.WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    fill(spec, np.random.default_rng(0), words)
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    vocabulary = tokenizer.get_vocab()
    spec.config.lang_ids = [vocabulary[f"<|{language}|>"] for language in LANGUAGES.split()]
    spec.config.alignment_heads = [(0, 0), (1, 1)]
    spec.register_vocabulary(sorted(vocabulary, key=vocabulary.__getitem__))
    spec.validate()
    spec.optimize()
    spec.save(str(directory))


def make_tokenizer() -> tuple[Any, int]:
    """Whisper's layout (text, then control tokens) with a vocabulary of a few words, and how many tokens those are."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    form = json.loads(trained.to_str())
    vocabulary = form["model"]["vocab"]
    words = len(vocabulary)
    vocabulary.update({f"<pad{i}>": i for i in range(words, TEXT_TOKENS)})
    tokenizer = Tokenizer.from_str(json.dumps(form))
    tokenizer.decoder = decoders.ByteLevel()
    control = ["endoftext", "startoftranscript", *LANGUAGES.split(), "translate", "transcribe", "startoflm"]
    control += ["startofprev", "nospeech", "notimestamps", *(f"{i * 0.02:.2f}" for i in range(1501))]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in control])
    return tokenizer, words


def fill(spec: Any, random: np.random.Generator, words: int) -> None:
    def weights(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.05).astype(np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def linear(layer: Any, rows: int, columns: int) -> None:
        layer.weight, layer.bias = weights(rows, columns), np.zeros(rows, np.float32)

    def attention(layer: Any, *rows: int) -> None:
        norm(layer.layer_norm)
        for part, height in zip(layer.linear, rows, strict=True):
            linear(part, height, WIDTH)

    for part, positions in ((spec.encoder, 1500), (spec.decoder, 448)):
        part.position_encodings.encodings = weights(positions, WIDTH)
        norm(part.layer_norm)
        for layer in part.layer:
            attention(layer.self_attention, 3 * WIDTH, WIDTH)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, HIDDEN, WIDTH)
            linear(layer.ffn.linear_1, WIDTH, HIDDEN)
    for layer in spec.decoder.layer:
        attention(layer.attention, WIDTH, 2 * WIDTH, WIDTH)
    for conv, channels in ((spec.encoder.conv1, MELS), (spec.encoder.conv2, WIDTH)):
        conv.weight, conv.bias = weights(WIDTH, channels, 3), np.zeros(WIDTH, np.float32)
    embeddings = weights(ALL_TOKENS, WIDTH) * 20
    embeddings[words:] = 0  # control tokens and fillers never win
    embeddings[:256] *= 0.1  # nor do single bytes, which would be no text
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = embeddings


if __name__ == "__main__":
    main(Path(sys.argv[1]))
