"""Which Model a name means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubeai.api.model import Model
from kubeai.api.openai.errors import OpenAIError
from kubeai.inference.directory import Directory, parse_selectors, require_feature
from tests.builders import model


class Models:
    """The informer's part that a directory uses."""

    def __init__(self, *models: Model) -> None:
        self._models = models
        self.handler: Callable[[Model | None, Model | None], None]

    def on_change(self, handler: Callable[[Model | None, Model | None], None]) -> None:
        self.handler = handler
        for each in self._models:
            handler(None, each)


ADAPTERS = [{"name": "l", "url": "hf://a/b"}]


def directory(*models: Model) -> Directory:
    return Directory(Models(*models))


def selectors(text: str) -> Any:
    return parse_selectors([part.encode() for part in text.split(";") if part])


def test_a_name_is_a_model_and_a_name_with_an_underscore_its_adapter() -> None:
    known = directory(model("m", adapters=ADAPTERS))
    assert known.find("m")[1] is None
    assert known.find("m_l")[1] == "l"


@pytest.mark.parametrize("name", ["x", "m_x", "m_", "_l", "m_l_", "", "M"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(OpenAIError) as caught:
        directory(model("m", adapters=ADAPTERS)).find(name)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("selector", "found"),
    [("", True), ("team=a", True), ("team=b", False), ("team=a;tier=gold", True), ("team=a;tier=iron", False)],
)
def test_all_label_selectors_must_match(selector: str, found: bool) -> None:
    known = directory(model("m", metadata={"labels": {"team": "a", "tier": "gold"}}))
    if found:
        assert known.find("m", selectors(selector))[0].name == "m"
    else:
        with pytest.raises(OpenAIError):
            known.find("m", selectors(selector))
    assert bool(known.entries(selectors=selectors(selector))) is found


def test_a_selector_that_is_none_is_the_callers_fault() -> None:
    with pytest.raises(OpenAIError, match="X-Label-Selector") as caught:
        parse_selectors([b"a in ("])
    assert caught.value.status == 400


def test_a_deleted_or_terminating_model_is_gone() -> None:
    models = Models(model("m"), model("t", metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"}))
    known = Directory(models)
    assert known.get("t") is None
    models.handler(model("m"), None)
    assert known.get("m") is None
    assert known.entries() == []


def test_an_edited_model_is_seen_with_the_next_request() -> None:
    models = Models(model("m"))
    known = Directory(models)
    models.handler(model("m"), model("m", adapters=ADAPTERS))
    assert known.find("m_l")[1] == "l"


def test_the_list_has_an_entry_for_each_model_and_adapter() -> None:
    metadata = {"creationTimestamp": "2026-01-02T03:04:05Z"}
    entries = directory(model("m", adapters=ADAPTERS, owner="me", metadata=metadata)).entries()
    assert [entry["id"] for entry in entries] == ["m", "m_l"]
    assert entries[0] == {
        "id": "m",
        "object": "model",
        "created": 1767323045,
        "owned_by": "me",
        "features": ["TextGeneration"],
    }


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ([], ["chat"]),
        (["TextEmbedding"], ["embed"]),
        (["TextEmbedding", "TextGeneration"], ["chat", "embed"]),
        (["Nonsense"], []),
    ],
)
def test_the_list_is_filtered_by_any_of_the_features(features: list[str], names: list[str]) -> None:
    known = directory(model("embed", features=["TextEmbedding"]), model("chat"))
    assert [entry["id"] for entry in known.entries(features)] == names


def test_a_model_without_the_routes_feature_says_what_it_has() -> None:
    # fault P11
    embedding = model("e", features=["TextEmbedding", "Reranking"])
    with pytest.raises(OpenAIError, match="Reranking, TextEmbedding") as caught:
        require_feature(embedding, "e", frozenset({"TextGeneration"}))
    assert caught.value.status == 400


def test_models_of_other_namespaces_are_found_by_both_names_and_listed_with_them() -> None:
    elsewhere: dict[str, Any] = {"metadata": {"namespace": "team"}, "adapters": ADAPTERS}
    found = Directory(Models(model("m"), model("m", **elsewhere), model("n", **elsewhere)), "default")
    assert found.find("m")[0].namespace == "default"
    assert [(m.namespace, adapter) for m, adapter in (found.find("team/m"), found.find("team/n_l"))] == [
        ("team", None),
        ("team", "l"),
    ]
    for missing in ("n", "default/m"):
        with pytest.raises(OpenAIError):
            found.find(missing)
    assert [entry["id"] for entry in found.entries()] == ["m", "team/m", "team/m_l", "team/n", "team/n_l"]
