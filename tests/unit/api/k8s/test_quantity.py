from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeai.api.k8s.quantity import QuantityError, format_quantity, multiply_quantity, parse_quantity


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("0", "0"),
        (1, "1"),
        (0.5, "0.5"),
        ("500m", "0.5"),
        ("100u", "0.0001"),
        ("1n", "0.000000001"),
        ("0.1n", "0.000000001"),  # who asks for some gets some
        (".5", "0.5"),
        ("5.", "5"),
        ("+5", "5"),
        ("-2Ki", "-2048"),
        ("1.5Gi", "1610612736"),
        ("1k", "1000"),
        ("1E", "1000000000000000000"),
        ("1E3", "1000"),
        ("1e-3", "0.001"),
        ("100Ei", str(2**63 - 1)),  # the largest there is
    ],
)
def test_reads(quantity: str | int | float, amount: str) -> None:
    assert parse_quantity(quantity) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "x", "1K", "1 Gi", "1ki", "Gi", "1.2.3", "--1", "1e", "1e1.5", "1E99999", "١"])
def test_refuses(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a quantity"):
        parse_quantity(text)


def test_refuses_a_truth_value() -> None:
    with pytest.raises(QuantityError):
        parse_quantity(True)


@pytest.mark.parametrize(
    ("quantity", "factor", "product"),
    [
        ("2Gi", 36, "72Gi"),
        ("6", 3, "18"),
        (1, 1, "1"),
        ("500m", 2, "1"),
        ("500m", 3, "1500m"),
        ("1.5Gi", 1, "1536Mi"),
        ("0.5Ki", 1, "512"),
        ("1025", 1, "1025"),
        ("512Mi", 2, "1Gi"),
        ("1000Mi", 1, "1000Mi"),
        ("100k", 10, "1M"),
        ("1E3", 2, "2e3"),
        ("1e1", 1, "10"),
        ("12e1", 1, "120"),
        ("1", 0, "0"),
        ("-500m", 3, "-1500m"),
    ],
)
def test_multiplies_into_the_canonical_form(quantity: str | int, factor: int, product: str) -> None:
    assert multiply_quantity(quantity, factor) == product


def test_formats_in_the_family_of_another_quantity() -> None:
    assert format_quantity(Decimal(2048), like="1Gi") == "2Ki"
    assert format_quantity(Decimal(2048)) == "2048"
    assert format_quantity(Decimal("0.25"), like="1Gi") == "250m"


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "m", "u", "k", "M", "Ki", "Mi", "e2", "E-3"]))
def test_the_canonical_form_has_the_same_amount_and_is_its_own_canonical_form(number: int, suffix: str) -> None:
    quantity = f"{number}{suffix}"
    canonical = multiply_quantity(quantity, 1)
    assert parse_quantity(canonical) == parse_quantity(quantity)
    assert multiply_quantity(canonical, 1) == canonical
