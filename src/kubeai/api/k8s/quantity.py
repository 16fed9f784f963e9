"""Amounts of resources as Kubernetes writes them: `500m`, `2Gi`, `1.5`, `1E3`.

Reads every form that Kubernetes reads and writes its canonical form: no fraction, the largest suffix that keeps the
number whole, and the family of suffixes (binary, decimal, exponent) that the amount came in.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal
from typing import Literal

Family = Literal["binary", "decimal", "exponent"]

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()}

_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<suffix>[KMGTPE]i|[numkMGTPE]?|[eE](?P<exponent>[+-]?[0-9]+))"
)
#: Wide enough for every amount between Kubernetes' smallest step and its largest value.
_CONTEXT = Context(prec=60)
_SMALLEST = Decimal("1e-9")
_LARGEST = Decimal(2**63 - 1)


class QuantityError(ValueError):
    """The text is no quantity; the fault of who wrote it."""


def parse_quantity(quantity: str | int | float) -> Decimal:
    """The amount. As in Kubernetes it is rounded up to 1n and capped at 2^63-1."""
    return _parse(quantity)[0]


def format_quantity(amount: Decimal, like: str | int | float = "0") -> str:
    """The canonical form of an amount, with suffixes of the same family as those of `like`."""
    return _format(amount, _parse(like)[1])


def multiply_quantity(quantity: str | int | float, factor: int) -> str:
    """`2Gi` times 36 is `72Gi`; times 1 it still becomes canonical."""
    amount, family = _parse(quantity)
    return _format(_CONTEXT.multiply(amount, Decimal(factor)), family)


def _parse(quantity: str | int | float) -> tuple[Decimal, Family]:
    match = None if isinstance(quantity, bool) else _QUANTITY.fullmatch(str(quantity).strip())
    # More digits of the exponent than this are beyond every limit, and dear to compute.
    if match is None or len(match["exponent"] or "") > 4:
        raise QuantityError(
            f"{quantity!r} is not a quantity: expected a number with an optional suffix, such as 500m, 2, 1.5 or 16Gi"
        )
    scale, family = _suffix(match["suffix"], match["exponent"])
    amount = min(_CONTEXT.multiply(Decimal(match["number"]), scale), _LARGEST)
    amount = _CONTEXT.quantize(amount, _SMALLEST) if amount >= 1 else _round_up(amount)
    return (-amount if match["sign"] == "-" else amount), family


def _suffix(suffix: str, exponent: str | None) -> tuple[Decimal, Family]:
    if exponent is not None:
        return _CONTEXT.scaleb(Decimal(1), int(exponent)), "exponent"
    if suffix in _BINARY:
        return Decimal(1024 ** _BINARY[suffix]), "binary"
    return Decimal(1).scaleb(_DECIMAL[suffix]), "decimal"


def _round_up(amount: Decimal) -> Decimal:
    """Who asks for some of a resource gets some, however little."""
    return amount.quantize(_SMALLEST, rounding=ROUND_UP, context=_CONTEXT)


def _format(amount: Decimal, family: Family) -> str:
    if not amount:
        return "0"
    whole = amount == amount.to_integral_value()
    if family == "binary" and whole and abs(amount) >= 1024:
        return _format_binary(int(amount))
    return _format_decimal(_round_up(amount), family)


def _format_binary(amount: int) -> str:
    power = 0
    while power < 6 and amount % 1024 == 0:
        amount, power = amount // 1024, power + 1
    return f"{amount}{_BINARY_SUFFIX[power]}" if power else str(amount)


def _format_decimal(amount: Decimal, family: Family) -> str:
    sign, digits, exponent = amount.normalize(_CONTEXT).as_tuple()
    assert isinstance(exponent, int)
    places = exponent % 3
    mantissa = int("".join(map(str, digits))) * 10**places
    exponent -= places
    # Beyond the suffixes there is none larger: the number grows instead.
    if exponent > 18:
        mantissa, exponent = mantissa * 10 ** (exponent - 18), 18
    text = f"{'-' if sign else ''}{mantissa}"
    if family == "exponent":
        return f"{text}e{exponent}" if exponent else text
    return text + _DECIMAL_SUFFIX[exponent]
