"""Finding and replacing the model in a JSON body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.openai.errors import OpenAIError
from kubeai.inference.request import Asked, ModelFinder, edited, model_edit, model_span, usage_edit

finder = ModelFinder()

NAMED = {
    "the usual order": (b'{"model":"a","messages":[]}', "a"),
    "model last, after a nested one": (b'{"x":{"model":"no"},"y":[{"model":"no"}],"model":"a"}', "a"),
    "white space everywhere": (b' {\n "model" \t:\r\n "a" } ', "a"),
    "a value that looks like the key": (b'{"role":"model","model":"a"}', "a"),
    "a text that quotes the key": (b'{"text":"the \\"model\\": \\"b\\"","model":"a"}', "a"),
    "a text that ends like the key": (b'{"text":"\\"model","model":"a"}', "a"),
    "a key written with escapes": (b'{"mod\\u0065l":"a"}', "a"),
    "a value written with escapes": (b'{"model":"\\u0061"}', "a"),
    "text that is not UTF-8, elsewhere": (b'{"text":"\xff","model":"a"}', "a"),
    "a key that is not UTF-8": (b'{"\xff":1,"model":"a"}', "a"),
    "a key that is not UTF-8, with escapes": (b'{"\xff\\n":1,"model":"a"}', "a"),
}


@pytest.mark.parametrize(("body", "name"), NAMED.values(), ids=NAMED.keys())
def test_the_model_is_found_and_only_its_value_is_replaced(body: bytes, name: str) -> None:
    assert finder.find(body).model == name
    start, end = model_span(body)
    assert b"".join(edited(body, [model_edit(body, "other")])) == body[:start] + b'"other"' + body[end:]
    assert json.loads(body[start:end]) == name


REFUSED = {
    "nothing at all": (b"", "empty"),
    "no JSON": (b"model=a", "not valid JSON"),
    "cut off": (b'{"model":"a"', "not valid JSON"),
    "something behind it": (b'{"model":"a"} x', "not valid JSON"),
    "no object": (b'["model"]', "must be a JSON object"),
    "no model": (b'{"messages":[]}', "must name a model"),
    "a model that is only nested": (b'{"x":{"model":"a"}}', "must name a model"),
    "an empty name": (b'{"model":""}', "must be the name"),
    "null": (b'{"model":null}', "must be the name"),
    "a number": (b'{"model":1}', "must be the name"),
    "an object": (b'{"model":{"model":"a"}}', "must be the name"),
    "a name that is not UTF-8": (b'{"model":"\xff"}', "not valid JSON"),
    "nested without end": (b'{"model":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "the key twice": (b'{"model":"a","model":"b"}', "more than once"),
    "the key twice with one value": (b'{"model":"a","model":"a"}', "more than once"),
    "the key twice, once in escapes": (b'{"model":"a","\\u006dodel":"b"}', "more than once"),
    "the key twice, once null": (b'{"model":null,"model":"b"}', "more than once"),
    "a key that Go reads as model": (b'{"model":"a","Model":"b"}', "more than once"),
    "only a key that Go reads as model": (b'{"MODEL":"b"}', "must name a model"),
}


@pytest.mark.parametrize(("body", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_body_that_names_no_model_or_two_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(OpenAIError, match=says) as caught:
        finder.find(body)
    assert caught.value.status == 400


def test_a_refused_body_leaves_nothing_behind_for_the_next_one() -> None:
    for body in (b'{"model":"a","model"', b'{"model":"a","model":"b"}'):
        with pytest.raises(OpenAIError):
            finder.find(body)
    assert finder.find(b'{"model":"c"}') == Asked("c")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("model"), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text().filter(lambda key: key.lower() != "model"), _json), st.text(min_size=1), st.data())
def test_all_but_the_model_passes_byte_for_byte(fields: dict[str, Any], name: str, data: st.DataObject) -> None:
    # fault P6
    items = data.draw(st.permutations([*fields.items(), ("model", name)]))
    body = json.dumps(dict(items), ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    if "\ud800" <= max(body.decode("utf-8", "surrogatepass")) <= "\udfff":
        return
    assert finder.find(body).model == name
    replaced = b"".join(edited(body, [model_edit(body, "other")]))
    assert json.loads(replaced) == dict(items) | {"model": "other"}
    assert list(json.loads(replaced)) == [key for key, _ in items]


ASKING = {
    "no options": (b'{"model":"a","stream":true}', {"include_usage": True}),
    "options that are null": (b'{"model":"a","stream":true,"stream_options":null}', {"include_usage": True}),
    "a client that does not want it": (
        b'{"stream_options": {"include_usage":false} ,"model":"a","stream":true}',
        {"include_usage": True},
    ),
    "other options": (
        b'{"model":"a","stream":true,"stream_options":{"x":{"y":[1,{"z":"}"}]}},"n":1}',
        {"x": {"y": [1, {"z": "}"}]}, "include_usage": True},
    ),
    "options of the wrong kind": (b'{"model":"a","stream":true,"stream_options":"}"}', {"include_usage": True}),
    "a stream in a word that pydantic takes for true": (b'{"model":"a","stream":"True"}', {"include_usage": True}),
    "a stream in a number": (b'{"model":"a","stream":1}', {"include_usage": True}),
    "a word that is false": (
        b'{"model":"a","stream":true,"stream_options":{"include_usage":"false"}}',
        {"include_usage": True},
    ),
    "a nested object with the same key": (
        b'{"x":{"stream_options":{}},"model":"a","stream":true}',
        {"include_usage": True},
    ),
}


@pytest.mark.parametrize(("body", "options"), ASKING.values(), ids=ASKING.keys())
def test_a_stream_is_asked_for_its_usage_and_nothing_else_changes(body: bytes, options: dict[str, Any]) -> None:
    edit = usage_edit(body, finder.find(body))
    assert edit is not None
    sent = b"".join(edited(body, [edit, model_edit(body, "b")]))
    assert json.loads(sent) == json.loads(body) | {"stream_options": options, "model": "b"}
    assert list(json.loads(sent)).count("stream_options") == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"a"}', id="no stream"),
        pytest.param(b'{"model":"a","stream":false}', id="no stream, said so"),
        pytest.param(b'{"model":"a","stream":"maybe"}', id="no boolean: the engine will say so"),
        pytest.param(b'{"model":"a","stream":2}', id="no boolean either"),
        pytest.param(b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}', id="asked for already"),
        pytest.param(b'{"model":"a","stream":true,"stream_options":{"include_usage":"yes"}}', id="asked for in a word"),
    ],
)
def test_what_needs_no_asking_stays_as_it_is(body: bytes) -> None:
    assert usage_edit(body, finder.find(body)) is None
