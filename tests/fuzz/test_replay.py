"""What fuzzing has found stays right, and a little more is tried each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeai.api.openai.document import openapi

from .altered import altered, known
from .described import faults
from .surface import served
from .targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_does_no_harm(name: str) -> None:
    assert known(name)
    for data in known(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_nearly_known_does_no_harm(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(altered(name)))


async def test_requests_that_schemathesis_found_get_answers_that_the_document_describes() -> None:
    document = openapi()
    async with served() as w:
        for data in known("surface"):
            connection = await w.connect()
            await connection.send(data)
            answer = await connection.read(bodiless=data.startswith(b"HEAD "))
            assert faults(document, data, answer) == [], data
