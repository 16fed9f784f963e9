"""The CRD against the API reference that it must implement, field by field."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from kubeai.api.crd import crd_yaml, model_crd, model_schema
from kubeai.api.rules import RULES

Schema = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
SEED = ROOT / "tests/data/kubernetes-api.md"

#: Type of the reference page -> where it is in the schema.
PLACES = {
    "Adapter": "spec.adapters[]",
    "File": "spec.files[]",
    "LoadBalancing": "spec.loadBalancing",
    "Model": "",
    "ModelSpec": "spec",
    "ModelStatus": "status",
    "ModelStatusCache": "status.cache",
    "ModelStatusReplicas": "status.replicas",
    "PrefixHash": "spec.loadBalancing.prefixHash",
}
#: What we have beyond the page: an own engine, and a feature that came later.
ADDED_CHOICES = {"LlamaCpp", "SGLang", "TEI", "Reranking", "TextToSpeech", "ImageGeneration"}
#: Without it API servers find the rule about the adapters' urls too dear.
ADDED_BOUNDS = {("adapters", "maxItems"): 1000}
SIMPLE_TYPES = ("string", "integer", "boolean")


class Row(NamedTuple):
    """One field of the page."""

    owner: str
    field: str
    type: str
    default: str
    validation: str


def rows() -> Iterator[Row]:
    owner = ""
    for line in SEED.read_text().splitlines():
        if heading := re.match(r"#### (\w+)", line):
            owner = heading[1]
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if owner in PLACES and len(cells) == 4 and (field := re.match(r"`(\w+)` _(.+)_$", cells[0])):
            yield Row(owner, field[1], field[2], cells[2].replace("\\", ""), cells[3].replace("\\", ""))


ROWS = [row for row in rows() if row.field not in ("apiVersion", "kind", "metadata")]


def at(path: str) -> Schema:
    schema = model_schema()
    for step in filter(None, path.split(".")):
        schema = schema["properties"][step.removesuffix("[]")]
        schema = schema["items"] if step.endswith("[]") else schema
    return schema


def test_the_page_is_read_whole() -> None:
    assert len(ROWS) == 36
    assert {row.owner for row in ROWS} == set(PLACES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.owner}.{row.field}")
class TestField:
    def schema(self, row: Row) -> Schema:
        field: Schema = at(PLACES[row.owner])["properties"][row.field]
        return field

    def test_has_its_type(self, row: Row) -> None:
        schema = self.schema(row)
        if row.type.endswith(" array"):
            assert schema["type"] == "array"
            element = row.type.removesuffix(" array")
            assert schema["items"]["type"] == (
                "string" if element in ("string", "[ModelFeature](#modelfeature)") else "object"
            )
        elif row.type in SIMPLE_TYPES or row.type == "[LoadBalancingStrategy](#loadbalancingstrategy)":
            assert schema["type"] == (row.type if row.type in SIMPLE_TYPES else "string")
        else:
            assert schema["type"] == "object"

    def test_has_its_default(self, row: Row) -> None:
        default = self.schema(row).get("default")
        written = yaml.safe_load(row.default)
        assert default == written

    def test_is_required_if_the_page_says_so(self, row: Row) -> None:
        required = row.field in at(PLACES[row.owner]).get("required", ())
        if "Required: {}" in row.validation:
            assert required
        if "Optional: {}" in row.validation:
            assert not required

    def test_has_its_choices(self, row: Row) -> None:
        schema = self.schema(row)
        choices = set(schema.get("items", schema).get("enum", ()))
        listed = re.search(r"Enum: \[(.*?)\]", row.validation)
        assert choices - ADDED_CHOICES == (set(listed[1].split()) if listed else set())

    @pytest.mark.parametrize("bound", ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"])
    def test_has_its_bounds(self, row: Row, bound: str) -> None:
        written = re.search(rf"\b{bound[0].upper()}{bound[1:]}: (\d+)", row.validation)
        ours = ADDED_BOUNDS.get((row.field, bound))
        assert self.schema(row).get(bound) == (int(written[1]) if written else ours)

    def test_has_its_pattern(self, row: Row) -> None:
        written = re.search(r"Pattern: `(.+?)`", row.validation)
        assert self.schema(row).get("pattern") == (written[1] if written else None)

    def test_is_described(self, row: Row) -> None:
        assert len(self.schema(row)["description"]) > 10


def test_fields_beyond_the_page_are_known_additions() -> None:
    on_page = {(row.owner, row.field) for row in ROWS}
    ours = {(owner, field) for owner, path in PLACES.items() for field in at(path)["properties"]}
    head = {("Model", field) for field in ("apiVersion", "kind", "metadata")}
    assert ours - on_page - head == {
        ("ModelSpec", "autoscalingWindowSeconds"),
        ("LoadBalancing", "maxRequestsPerReplica"),
        ("ModelSpec", "pods"),
        ("ModelSpec", "rollout"),
        ("ModelStatus", "conditions"),
        ("ModelStatus", "observedGeneration"),
    }


def test_defaulted_fields_that_clients_always_send_are_required() -> None:
    assert set(at("spec")["required"]) == {"url", "features", "engine", "targetRequests", "scaleDownDelaySeconds"}


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        ("replicas", "int32"),
        ("minReplicas", "int32"),
        ("maxReplicas", "int32"),
        ("targetRequests", "int32"),
        ("scaleDownDelaySeconds", "int64"),
    ],
)
def test_integers_have_their_format(path: str, format_: str) -> None:
    assert at("spec")["properties"][path]["format"] == format_


def test_an_env_source_is_that_of_core_v1() -> None:
    sources = at("spec.envFrom[]")["properties"]
    assert set(sources) == {"configMapRef", "prefix", "secretRef"}
    assert set(sources["secretRef"]["properties"]) == {"name", "optional"}


def test_conditions_are_a_map_by_type() -> None:
    conditions = at("status")["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(at("status.conditions[]")["required"]) == {"type", "status", "reason", "message", "lastTransitionTime"}


def test_every_rule_is_in_the_schema_at_its_place() -> None:
    for rule in RULES:
        validations = at(rule.path)["x-kubernetes-validations"]
        assert (rule.cel, rule.message) in [(v["rule"], v["message"]) for v in validations]
        assert rule.transition == ("oldSelf" in rule.cel)


def schemas(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from schemas(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from schemas(schema[key], f"{path}[]")


def test_the_schema_is_structural() -> None:
    for path, schema in schemas(model_schema()):
        assert "type" in schema, path
        assert not schema.keys() & {"$ref", "$defs", "title", "anyOf", "allOf", "oneOf", "const"}, path
        assert not ("properties" in schema and "additionalProperties" in schema), path


def test_every_field_is_described() -> None:
    names = (path for path, schema in schemas(model_schema()) if not schema.get("description"))
    # The API server describes metadata; a list or map of plain texts is described where it is.
    texts = {
        f".spec.pods.{path}[]" for path in ("nodeSelector", "template.metadata.labels", "template.metadata.annotations")
    }
    assert set(names) == {".metadata", ".spec.features[]", ".spec.args[]", ".spec.env[]"} | texts


def test_it_scales_and_has_a_status() -> None:
    (version,) = model_crd()["spec"]["versions"]
    assert version["subresources"] == {
        "status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas.all"},
    }


def test_get_shows_what_matters() -> None:
    (version,) = model_crd()["spec"]["versions"]
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns == ["Engine", "Features", "Ready", "All", "Reason", "URL", "Age"]


def test_the_text_is_the_definition() -> None:
    assert yaml.safe_load(crd_yaml()) == model_crd()


def test_the_manifest_is_up_to_date() -> None:
    assert (ROOT / "manifests/crds/kubeai.org_models.yaml").read_text() == crd_yaml(), "run scripts/generate.py"
