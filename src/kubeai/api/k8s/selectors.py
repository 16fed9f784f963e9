"""Which objects a label or field selector means.

The whole syntax of `kubectl -l`: `a=b, a==b, a!=b, a in (b,c), a notin (b,c), a, !a, a>1, a<1`, joined by commas that
mean "and". As in Kubernetes, `!=` and `notin` also hold for objects that do not have the label at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from kubeai.api.k8s.names import label_key_fault, label_value_fault

Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]


class SelectorError(ValueError):
    """The text is no selector; the caller's fault."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return _TESTS[self.operator](labels.get(self.key), self.values)


def _compare(value: str | None, values: frozenset[str], test: Callable[[int, int], bool]) -> bool:
    """A label that is absent or no integer is neither above nor below anything."""
    try:
        return value is not None and test(int(value), int(next(iter(values))))
    except ValueError:
        return False


_TESTS: Mapping[Operator, Callable[[str | None, frozenset[str]], bool]] = {
    "=": lambda value, values: value in values,
    "in": lambda value, values: value in values,
    "!=": lambda value, values: value not in values,
    "notin": lambda value, values: value not in values,
    "exists": lambda value, values: value is not None,
    "!": lambda value, values: value is None,
    ">": lambda value, values: _compare(value, values, int.__gt__),
    "<": lambda value, values: _compare(value, values, int.__lt__),
}


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; with none, everything matches."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Raises `SelectorError` with the place and what was expected there."""
        return cls(_Parser(text).requirements())

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+|$)")
_SYMBOLS = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">", ""})


class _Parser:
    """Recursive descent over the tokens; the last one is "" for the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text.rstrip())]

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while self._tokens[0] or found:
            found.append(self._requirement())
            separator = self._next()
            if not separator:
                break
            if separator != ",":
                raise self._expected("',' or the end", separator)
        return tuple(found)

    def _requirement(self) -> Requirement:
        negated = self._accept("!")
        key = self._word("a label key")
        if fault := label_key_fault(key):
            raise SelectorError(f"label selector {self._text!r}: key {key!r}: {fault}")
        if negated:
            return Requirement(key, "!")
        if self._tokens[0] in (",", ""):
            return Requirement(key, "exists")
        match self._next():
            case "=" | "==":
                return Requirement(key, "=", self._exact())
            case "!=":
                return Requirement(key, "!=", self._exact())
            case "in":
                return Requirement(key, "in", self._set())
            case "notin":
                return Requirement(key, "notin", self._set())
            case ">":
                return Requirement(key, ">", self._number())
            case "<":
                return Requirement(key, "<", self._number())
            case other:
                raise self._expected("one of =, ==, !=, in, notin, >, <", other)

    def _exact(self) -> frozenset[str]:
        return frozenset({self._value()})

    def _set(self) -> frozenset[str]:
        """`(a,b)`; as in Kubernetes an empty place is the empty value."""
        if not self._accept("("):
            raise self._expected("'('", self._tokens[0])
        values = {self._value()}
        while self._accept(","):
            values.add(self._value())
        if not self._accept(")"):
            raise self._expected("',' or ')'", self._tokens[0])
        return frozenset(values)

    def _number(self) -> frozenset[str]:
        word = self._word("an integer")
        if not re.fullmatch(r"-?[0-9]+", word):
            raise self._expected("an integer", word)
        return frozenset({word})

    def _value(self) -> str:
        if self._tokens[0] in (",", ")", ""):
            return ""
        value = self._word("a label value")
        if fault := label_value_fault(value):
            raise SelectorError(f"label selector {self._text!r}: value {value!r}: {fault}")
        return value

    def _word(self, what: str) -> str:
        token = self._next()
        if token in _SYMBOLS:
            raise self._expected(what, token)
        return token

    def _accept(self, symbol: str) -> bool:
        if self._tokens[0] != symbol:
            return False
        self._next()
        return True

    def _next(self) -> str:
        # The end stays, so that whoever looks further meets it again.
        return self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]

    def _expected(self, what: str, found: str) -> SelectorError:
        return SelectorError(
            f"label selector {self._text!r}: found {repr(found) if found else 'the end'}, expected {what}"
        )


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One field that must, or must not, have a value."""

    field: str
    value: str
    negated: bool = False

    def matches(self, fields: Mapping[str, str]) -> bool:
        return (fields.get(self.field, "") == self.value) != self.negated


_FIELD_TERM = re.compile(r"(?P<field>[^=!\\]*?)(?P<operator>!=|==|=)(?P<value>(?:[^=\\]|\\[\\,=])*)", re.DOTALL)
_TERM = re.compile(r"(?:[^,\\]|\\.|\\$)+", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\,=])")


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """`status.phase=Running,spec.nodeName!=`; which fields a kind offers is the server's business."""

    requirements: tuple[FieldRequirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        """A backslash takes the meaning off a comma, an equals sign or a backslash in a value."""
        terms = (term.strip() for term in _TERM.findall(text))
        return cls(tuple(_field_requirement(term, text) for term in terms if term))

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(requirement.field for requirement in self.requirements)

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all(requirement.matches(fields) for requirement in self.requirements)


def _field_requirement(term: str, text: str) -> FieldRequirement:
    match = _FIELD_TERM.fullmatch(term)
    if match is None or not match["field"].strip():
        raise SelectorError(f"field selector {text!r}: {term!r} is not of the form FIELD=VALUE or FIELD!=VALUE")
    value = _ESCAPED.sub(r"\1", match["value"])
    return FieldRequirement(match["field"].strip(), value, negated=match["operator"] == "!=")
