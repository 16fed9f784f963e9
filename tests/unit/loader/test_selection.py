"""Which files of a source are wanted."""

from __future__ import annotations

import pytest

from kubeai.api.modelurl import parse_model_url
from kubeai.loader.fetch import with_patterns
from kubeai.loader.selection import select

FILES = ("config.json", "model.safetensors", "original/a.pth", "tokenizer/t.json")

CHOICES = {
    "everything without patterns": ("hf://o/n", FILES),
    "only what is allowed": ("hf://o/n?allow=*.safetensors,config.json", ("config.json", "model.safetensors")),
    "not what is ignored": ("hf://o/n?ignore=original/,*.safetensors", ("config.json", "tokenizer/t.json")),
    "a star goes through directories": ("hf://o/n?allow=*.json", ("config.json", "tokenizer/t.json")),
    "ignored wins over allowed": ("hf://o/n?allow=*.json&ignore=config.json", ("tokenizer/t.json",)),
    "one file whatever the patterns say": ("hf://o/n?model=original/a.pth&ignore=*", ("original/a.pth",)),
}


@pytest.mark.parametrize(("url", "wanted"), CHOICES.values(), ids=CHOICES.keys())
def test_patterns(url: str, wanted: tuple[str, ...]) -> None:  # fault C4
    selection = select(parse_model_url(url))
    assert tuple(name for name in FILES if selection.has(name)) == wanted


def test_the_first_of_several_gguf_files_stands_for_all() -> None:
    url = parse_model_url("s3://b/d?model=q/m-00001-of-00003.gguf")
    assert select(url).files == tuple(f"q/m-0000{n}-of-00003.gguf" for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("src", "url"),
    [
        pytest.param("s3://b/k", "s3://b/k?allow=*.json,a/b&ignore=*.bin", id="a bare url"),
        pytest.param("s3://b/k?region=r", "s3://b/k?region=r&allow=*.json,a/b&ignore=*.bin", id="one with parameters"),
    ],
)
def test_flags_become_parameters(src: str, url: str) -> None:
    assert with_patterns(src, ["*.json", "a/b"], ["*.bin"]) == url
    assert with_patterns(src, [], []) == src
