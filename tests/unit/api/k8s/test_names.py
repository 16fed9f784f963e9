from collections.abc import Callable

import pytest

from kubeai.api.k8s.names import (
    SUFFIX_ALPHABET,
    dns_label_fault,
    dns_subdomain_fault,
    label_key_fault,
    label_value_fault,
    random_suffix,
)


@pytest.mark.parametrize(
    ("fault", "text", "good"),
    [
        (dns_label_fault, "a-1", True),
        (dns_label_fault, "a" * 63, True),
        (dns_label_fault, "a" * 64, False),
        (dns_label_fault, "a.b", False),
        (dns_label_fault, "-a", False),
        (dns_label_fault, "a-", False),
        (dns_label_fault, "A", False),
        (dns_label_fault, "", False),
        (dns_label_fault, "a\n", False),
        (dns_subdomain_fault, "a.b-c.d", True),
        (dns_subdomain_fault, "a..b", False),
        (dns_subdomain_fault, "a" * 254, False),
        (label_key_fault, "app", True),
        (label_key_fault, "kubeai.org/App_1.x", True),
        (label_key_fault, "Upper/app", False),
        (label_key_fault, "a/b/c", False),
        (label_key_fault, "/a", False),
        (label_key_fault, "a/", False),
        (label_key_fault, "a" * 64, False),
        (label_value_fault, "", True),
        (label_value_fault, "A_b.c-1", True),
        (label_value_fault, "a b", False),
        (label_value_fault, "a-", False),
        (label_value_fault, "a" * 64, False),
    ],
)
def test_accepts_what_kubernetes_accepts(fault: Callable[[str], str | None], text: str, good: bool) -> None:
    assert (fault(text) is None) is good


def test_says_what_is_wrong() -> None:
    assert dns_label_fault("a" * 64) == "must be no more than 63 characters"
    assert "lower-case letters" in (dns_label_fault("A") or "")
    assert (label_key_fault("A/b") or "").startswith("prefix part must")


def test_a_suffix_is_made_of_the_bytes_given() -> None:
    assert random_suffix(bytes(5)) == SUFFIX_ALPHABET[0] * 5
    assert random_suffix(b"\x01\x02\x03", length=2) == "cd"
    assert dns_label_fault(random_suffix(bytes(range(250, 255)))) is None


def test_a_suffix_needs_enough_bytes() -> None:
    with pytest.raises(ValueError, match="5 characters need 5 bytes"):
        random_suffix(b"abc")
