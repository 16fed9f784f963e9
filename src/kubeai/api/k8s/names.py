"""Which names, label keys and label values Kubernetes accepts, and what to tell who chose another.

Each `*_fault` gives None for a good text and otherwise a sentence that can be shown to the user as it is.
"""

from __future__ import annotations

import re

#: The letters that Kubernetes uses for generated names: no vowels and no look-alikes, so that no word comes out.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

_LABEL_RULE = "must consist of lower-case letters, digits and '-', and must start and end with a letter or a digit"
_SUBDOMAIN_RULE = (
    "must consist of lower-case letters, digits, '-' and '.', and must start and end with a letter or a digit"
)
_NAME_RULE = "must consist of letters, digits, '-', '_' and '.', and must start and end with a letter or a digit"


def dns_label_fault(text: str) -> str | None:
    """Names of namespaces, containers and volumes, and each part of a subdomain (RFC 1123)."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    return None if _DNS_LABEL.fullmatch(text) else _LABEL_RULE


def dns_subdomain_fault(text: str) -> str | None:
    """Names of most objects (RFC 1123)."""
    if len(text) > 253:
        return "must be no more than 253 characters"
    return None if _DNS_SUBDOMAIN.fullmatch(text) else _SUBDOMAIN_RULE


def label_key_fault(text: str) -> str | None:
    """`name` or `prefix/name`, where the prefix is a DNS subdomain. Annotations have the same keys."""
    prefix, slash, name = text.rpartition("/")
    if slash and (fault := dns_subdomain_fault(prefix)):
        return f"prefix part {fault}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return None if _QUALIFIED_NAME.fullmatch(name) else f"name part {_NAME_RULE}"


def label_value_fault(text: str) -> str | None:
    """A label's value may be empty."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    return None if not text or _QUALIFIED_NAME.fullmatch(text) else _NAME_RULE


def random_suffix(rng_bytes: bytes, length: int = 5) -> str:
    """The suffix of a generated name, made of random bytes that the caller brings (or of a hash)."""
    if len(rng_bytes) < length:
        raise ValueError(f"{length} characters need {length} bytes, got {len(rng_bytes)}")
    return "".join(SUFFIX_ALPHABET[byte % len(SUFFIX_ALPHABET)] for byte in rng_bytes[:length])
