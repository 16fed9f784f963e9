from __future__ import annotations

from typing import Any

import pytest

from kubeai.embedded.admission.cel import ABSENT, RuleCompiler, RuleError, check_rules

COMPILER = RuleCompiler()


def _schema(*rules: dict[str, Any], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}


def _said(value: Any, schema: dict[str, Any], old: Any = ABSENT) -> list[str]:
    return [str(cause) for cause in check_rules(value, COMPILER.compile(schema), old)]


def test_a_broken_rule_says_its_message() -> None:
    schema = _schema({"rule": "self.a < self.b", "message": "a must be below b"})
    assert _said({"a": 1, "b": 2}, schema) == []
    assert _said({"a": 2, "b": 1}, schema) == ['Invalid value: "object": a must be below b']


def test_without_a_message_the_rule_speaks_for_itself() -> None:
    assert _said({"a": 2}, _schema({"rule": "self.a < 1"})) == ['Invalid value: "object": failed rule: self.a < 1']


def test_a_message_may_be_computed() -> None:
    schema = _schema({"rule": "self.a < 1", "messageExpression": "'a is ' + string(self.a)"})
    assert _said({"a": 2}, schema) == ['Invalid value: "object": a is 2']


def test_a_rule_that_fails_to_run_does_not_admit() -> None:
    (fault,) = _said({}, _schema({"rule": "self.missing > 1"}))
    assert "could not be evaluated" in fault


def test_rules_are_found_at_every_depth() -> None:
    rule = {"rule": "self > 0", "message": "positive"}
    number = {"type": "integer", "x-kubernetes-validations": [rule]}
    schema = _schema(
        one=number,
        many={"type": "array", "items": number},
        named={"type": "object", "additionalProperties": number},
    )
    value = {"one": 0, "many": [1, 0], "named": {"x": 0}}
    found = [cause.field for cause in check_rules(value, COMPILER.compile(schema))]
    assert found == ["one", "many[1]", "named.x"]


def test_a_rule_on_change_waits_for_an_old_value() -> None:
    schema = _schema(a={"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]})
    assert _said({"a": 1}, schema) == []
    assert _said({"a": 1}, schema, {}) == []
    assert _said({"a": 1}, schema, {"a": 1}) == []
    assert len(_said({"a": 1}, schema, {"a": 2})) == 1


def test_a_field_that_cel_cannot_spell_is_escaped() -> None:
    schema = _schema({"rule": "self.__namespace__ == 'x' && self.a__dash__b == 1"})
    assert _said({"namespace": "x", "a-b": 1}, schema) == []


def test_where_and_why_come_from_the_rule() -> None:
    schema = _schema({"rule": "false", "fieldPath": ".a", "reason": "FieldValueForbidden"})
    whole = {"type": "object", "properties": {"spec": schema}}
    (cause,) = check_rules({"spec": {"a": 1}}, COMPILER.compile(whole))
    assert (cause.field, cause.reason) == ("spec.a", "FieldValueForbidden")


def test_a_schema_without_rules_costs_nothing() -> None:
    assert COMPILER.compile(_schema() | {"x-kubernetes-validations": []}) is None


@pytest.mark.parametrize("rule", ["self.(", "unknown(self)", "quantity(self.a).isLessThan(quantity('1'))"])
def test_a_rule_that_cannot_be_compiled_is_named(rule: str) -> None:
    with pytest.raises(RuleError, match="cannot be compiled"):
        COMPILER.compile(_schema({"rule": rule}))
