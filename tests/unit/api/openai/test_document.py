"""The OpenAPI document says what the gateway does."""

from __future__ import annotations

from kubeai.api.openai.document import openapi
from kubeai.api.openai.routes import ROUTES


def test_every_route_is_in_the_document() -> None:
    paths = openapi()["paths"]
    assert {(route.spellings[1], route.method.lower()) for route in ROUTES.values()} <= {
        (path, method) for path, methods in paths.items() for method in methods
    }


def test_the_names_of_operations_differ() -> None:
    operations = [m["operationId"] for ms in openapi()["paths"].values() for m in ms.values() if "operationId" in m]
    assert len(set(operations)) == len(operations) == len(ROUTES) - 1


def test_every_reference_has_its_target() -> None:
    document = openapi()

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
            return here.union(*map(references, value.values()))
        return set[str]().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(document) == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_a_body_is_asked_for_no_more_than_a_model() -> None:
    chat = openapi()["paths"]["/openai/v1/chat/completions"]["post"]
    schema = chat["requestBody"]["content"]["application/json"]["schema"]
    assert (schema["required"], schema["properties"]["messages"]) == (["model"], {})
