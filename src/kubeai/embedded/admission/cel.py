"""Validation rules written in CEL (`x-kubernetes-validations`), as a CRD carries them.

Each rule is compiled once, when its CRD arrives; a rule that does not compile refuses the CRD. A rule sees its own node
of the object as `self` and, on an update, the stored one as `oldSelf`; a rule that reads `oldSelf` is skipped where
there is none. The evaluator knows the CEL standard and its string functions; Kubernetes' own libraries (quantity, url,
ip, ...) are missing, and a CRD that needs them is refused by name rather than admitted without its rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubeai.embedded.admission.schema import type_name
from kubeai.embedded.status import Cause

if TYPE_CHECKING:
    from cel_expr_python import cel

JSONObject = dict[str, Any]

_OLD = re.compile(r"\boldSelf\b")
#: CEL has no such identifiers, so a rule writes `self.__namespace__` for the field `namespace`.
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_ESCAPES = {".": "__dot__", "-": "__dash__", "/": "__slash__"}


class RuleError(ValueError):
    """A rule that cannot be compiled."""


@dataclass(frozen=True)
class Rule:
    """One compiled rule."""

    text: str
    program: cel.Expression
    message: str
    message_program: cel.Expression | None
    needs_old: bool
    field_path: str
    reason: str


@dataclass(frozen=True)
class RuleNode:
    """The rules of one node of a schema and of the nodes below it; nodes without any are left out."""

    rules: tuple[Rule, ...]
    properties: Mapping[str, RuleNode]
    items: RuleNode | None
    values: RuleNode | None
    #: fields whose names CEL cannot spell are bound under escaped names
    escaped: bool


class RuleCompiler:
    """Compiles rules. The library takes 40 ms to load, so that waits for the first rule."""

    @cached_property
    def _env(self) -> cel.Env:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_strings

        variables = {"self": cel.Type.DYN, "oldSelf": cel.Type.DYN}
        return cel.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings()])

    def compile(self, schema: JSONObject, path: str = "") -> RuleNode | None:
        """The rules of the schema, or None where there are none. Raises `RuleError`."""
        rules = tuple(self._rule(rule, path) for rule in schema.get("x-kubernetes-validations", ()))
        below = {name: self.compile(s, f"{path}.{name}") for name, s in schema.get("properties", {}).items()}
        properties = {name: node for name, node in below.items() if node is not None}
        items = self._optional(schema.get("items"), f"{path}[*]")
        values = self._optional(schema.get("additionalProperties"), f"{path}[*]")
        if not (rules or properties or items or values):
            return None
        return RuleNode(rules, properties, items, values, any("__" in rule.text for rule in rules))

    def _optional(self, schema: Any, path: str) -> RuleNode | None:
        return self.compile(schema, path) if isinstance(schema, dict) else None

    def _rule(self, rule: JSONObject, path: str) -> Rule:
        text = str(rule.get("rule", ""))
        message_text = rule.get("messageExpression")
        return Rule(
            text,
            self._program(text, path),
            str(rule.get("message") or f"failed rule: {text}"),
            self._program(message_text, path) if message_text else None,
            bool(_OLD.search(text)) and not rule.get("optionalOldSelf"),
            str(rule.get("fieldPath", "")),
            str(rule.get("reason") or "FieldValueInvalid"),
        )

    def _program(self, text: str, path: str) -> cel.Expression:
        try:
            return self._env.compile(text)
        except RuntimeError as error:
            where = path or "the whole object"
            raise RuleError(f"rule of {where}: {text!r} cannot be compiled: {str(error).splitlines()[0]}") from error


#: Stands for the stored value where there is none.
ABSENT: Any = object()


def check_rules(value: Any, node: RuleNode | None, old: Any = ABSENT, path: str = "") -> Iterator[Cause]:
    """The rules that the value breaks. `old` is the stored value."""
    if node is None or value is None:
        return
    if node.rules:
        yield from _check_here(value, node, old, path)
    if isinstance(value, dict):
        known = old if isinstance(old, dict) else {}
        for name, item in value.items():
            below = node.properties.get(name, node.values)
            yield from check_rules(item, below, known.get(name, ABSENT), f"{path}.{name}" if path else name)
    elif isinstance(value, list) and node.items is not None:
        # List items have no identity, so a rule on an item that reads oldSelf is not evaluated (as in Kubernetes
        # for lists that are not of type map).
        for index, item in enumerate(value):
            yield from check_rules(item, node.items, ABSENT, f"{path}[{index}]")


def _check_here(value: Any, node: RuleNode, old: Any, path: str) -> Iterator[Cause]:
    data = {"self": _escaped(value) if node.escaped else value}
    if old is not ABSENT and old is not None:
        data["oldSelf"] = _escaped(old) if node.escaped else old
    for rule in node.rules:
        if rule.needs_old and "oldSelf" not in data:
            continue
        result = rule.program.eval(data=data)
        # An error is a value of the result here, not an exception: only a plain `true` admits the object.
        if result.value() is not True:
            yield _fault(value, rule, data, result, path)


def _fault(value: Any, rule: Rule, data: JSONObject, result: cel.Value, path: str) -> Cause:
    where = path + rule.field_path
    shown = type_name(value)
    message = rule.message
    if result.value() is not False:
        message = f"rule {rule.text!r} could not be evaluated: {result.value()}"
    elif rule.message_program is not None:
        said = rule.message_program.eval(data=data).value()
        message = said if isinstance(said, str) and said else message
    return Cause(where, f'Invalid value: "{shown}": {message}', rule.reason)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {_escaped_name(name): _escaped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value


def _escaped_name(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    name = name.replace("__", "__underscores__")
    for char, escape in _ESCAPES.items():
        name = name.replace(char, escape)
    return name
