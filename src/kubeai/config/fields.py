"""What the values of `system.yaml` look like, each read once and strictly.

Names in the file are camelCase; ours are snake_case and say their unit: key `interval` is `interval_s`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.alias_generators import to_camel

from kubeai.api.k8s.duration import parse_duration
from kubeai.api.k8s.names import dns_subdomain_fault, label_key_fault, label_value_fault
from kubeai.api.k8s.quantity import parse_quantity

#: The validation context of values that come from a file; without it they come from Python code.
FROM_FILE = {"from": "file"}


def key_of(field: str) -> str:
    """The key in the file of one of our attributes."""
    return to_camel(field.removesuffix("_s"))


class Settings(BaseModel):
    """Base of the configuration's types: immutable, unknown keys refused."""

    model_config = ConfigDict(
        alias_generator=key_of,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        allow_inf_nan=False,
    )


def _seconds(value: Any, info: ValidationInfo) -> Any:
    """In the file a bare number counts nanoseconds, as in Go; in Python code it is what the name says: seconds."""
    if isinstance(value, str) or info.context == FROM_FILE:
        return parse_duration(value)
    return value


def _quantity(value: Any) -> str:
    parse_quantity(value)
    return str(value)


def _subdomain(value: str) -> str:
    if fault := dns_subdomain_fault(value):
        raise ValueError(fault)
    return value


def _profile_name(value: str) -> str:
    """A Model names a resource profile as `PROFILE:COUNT`."""
    if not value or ":" in value:
        raise ValueError("a profile's name must not be empty and must not contain a colon")
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    for key, text in value.items():
        if fault := label_key_fault(key):
            raise ValueError(f"key {key!r}: {fault}")
        if fault := label_value_fault(text):
            raise ValueError(f"value {text!r} of {key!r}: {fault}")
    return value


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise ValueError("must be HOST:PORT, or :PORT for every address of this machine")
    return value


def _listening(value: str) -> str:
    """`0` switches it off, as controller-runtime has it."""
    return value if value == "0" else _address(value)


def _origin(value: str) -> str:
    """As a browser sends it in `Origin`: it is compared as it is."""
    if value != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s,]+", value):
        raise ValueError("must be an origin such as https://chat.example.com, without a path, or *")
    if not value.isascii():
        raise ValueError("must be ASCII; write a host name of other letters in its xn-- form")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be an address or a network such as 10.0.0.0/8: {error}") from None
    return value


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ValueError(f"{value!r} is not the name of a header")
    return value


def _empty_is_none(value: Any) -> Any:
    """Charts write "" for what is not set."""
    return None if value == "" else value


_PATCH_MEMBERS = {
    "add": {"value"},
    "replace": {"value"},
    "test": {"value"},
    "move": {"from"},
    "copy": {"from"},
    "remove": set[str](),
}


def _json_patch(patch: Fragment) -> Fragment:
    """Checked in form only: whether a path exists depends on each Pod, and shows as a condition of its Model."""
    op, path = patch.get("op"), patch.get("path")
    if op not in _PATCH_MEMBERS:
        raise ValueError(f"op must be one of {', '.join(_PATCH_MEMBERS)}, not {op!r}")
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise ValueError(f"path must be a JSON pointer such as /spec/priority, not {path!r}")
    if missing := _PATCH_MEMBERS[op] - patch.keys():
        raise ValueError(f"operation {op} needs {missing.pop()}")
    return patch


_DurationText = Annotated[str, Field(json_schema_extra={"format": "duration"})]
_QuantityText = Annotated[str, Field(json_schema_extra={"format": "quantity"})]
Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=_DurationText), Field(ge=0)]
PositiveSeconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=_DurationText), Field(gt=0)]
Quantity = Annotated[str, BeforeValidator(_quantity, json_schema_input_type=_QuantityText)]
ObjectName = Annotated[str, AfterValidator(_subdomain)]
ProfileName = Annotated[str, AfterValidator(_profile_name)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
Origin = Annotated[str, AfterValidator(_origin)]
Address = Annotated[str, AfterValidator(_address)]
ListenAddress = Annotated[str, AfterValidator(_listening)]
Network = Annotated[str, AfterValidator(_network)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
NonEmpty = Annotated[str, Field(min_length=1)]
OptionalName = Annotated[ObjectName | None, BeforeValidator(_empty_is_none)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
#: A fragment of a Pod, passed on as it is: the API server checks it.
Fragment = dict[str, Any]
JSONPatch = Annotated[Fragment, AfterValidator(_json_patch)]
