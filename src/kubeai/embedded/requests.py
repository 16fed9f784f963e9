"""What a request says beside its path: parameters, and a body in JSON or YAML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import yaml
from aiohttp import web

from kubeai.api.k8s.resources import Resource
from kubeai.embedded import protobuf
from kubeai.embedded.admission.pipeline import FieldValidation
from kubeai.embedded.cluster import WriteOptions
from kubeai.embedded.deleting import DeleteOptions, Propagation
from kubeai.embedded.status import Cause, JSONObject, bad_request, invalid, too_large, unsupported_media_type

MAX_BODY_BYTES = 3 * 1024 * 1024
_PATCH_OPTIONS = Resource("meta.k8s.io", "v1", "patchoptions", "PatchOptions")
_VALIDATIONS: Mapping[str, FieldValidation] = {"Ignore": "Ignore", "Warn": "Warn", "Strict": "Strict", "": "Warn"}
_PROPAGATIONS: Mapping[str, Propagation | None] = {
    "": None,
    "Background": "Background",
    "Foreground": "Foreground",
    "Orphan": "Orphan",
}


def flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "") in ("true", "1", "True")


def number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f"parameter {name}: {text!r} is not a number") from error


def content_type(request: web.Request) -> str:
    return request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()


async def read_body(request: web.Request) -> Any:
    """The decoded body; None if there is none."""
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large(MAX_BODY_BYTES) from error
    if not data.strip():
        return None
    type = content_type(request)
    if "protobuf" in type:
        return protobuf.decode(data)
    if "cbor" in type:
        raise unsupported_media_type(f"the body is {type}: only JSON and YAML are understood here")
    try:
        return yaml.safe_load(data) if "yaml" in type and data.lstrip()[:1] != b"{" else msgspec.json.decode(data)
    except (msgspec.DecodeError, yaml.YAMLError) as error:
        raise bad_request(f"the body of the request cannot be parsed: {error}") from error


async def read_object(request: web.Request) -> JSONObject:
    body = await read_body(request)
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be an object")
    return body


def write_options(request: web.Request, now: datetime) -> WriteOptions:
    validation = _VALIDATIONS.get(request.query.get("fieldValidation", ""))
    if validation is None:
        raise bad_request("fieldValidation must be one of Ignore, Warn, Strict")
    manager = request.query.get("fieldManager") or request.headers.get("User-Agent", "").partition("/")[0]
    return WriteOptions(
        now,
        dry_run=_is_dry_run(request.query.get("dryRun", "")),
        manager=manager or "unknown",
        validation=validation,
        force=flag(request, "force"),
    )


def require_manager(request: web.Request) -> None:
    """Who applies has to say who that is: what is applied belongs to them."""
    if not request.query.get("fieldManager"):
        cause = Cause("fieldManager", "Required value: is required for apply patch", "FieldValueRequired")
        raise invalid(_PATCH_OPTIONS, "", [cause])


def _is_dry_run(text: str) -> bool:
    if text not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: "{text}": supported values: "All"')
    return text == "All"


async def delete_options(request: web.Request, now: datetime) -> DeleteOptions:
    """From the body and from parameters; parameters are what old clients and curl use."""
    body = await read_body(request) or {}
    if not isinstance(body, dict):
        raise bad_request("the body of a delete must be DeleteOptions")
    grace_s = body.get("gracePeriodSeconds", number(request, "gracePeriodSeconds"))
    if grace_s is not None and (not isinstance(grace_s, int) or grace_s < 0):
        raise bad_request("gracePeriodSeconds must be a number greater than or equal to 0")
    asked = body.get("propagationPolicy") or request.query.get("propagationPolicy", "")
    if asked not in _PROPAGATIONS:
        raise bad_request(f"propagationPolicy: {asked!r} is none of Background, Foreground, Orphan")
    conditions = body.get("preconditions") or {}
    return DeleteOptions(
        now,
        grace_s=grace_s,
        propagation=_PROPAGATIONS[asked],
        uid=conditions.get("uid") or "",
        version=conditions.get("resourceVersion") or "",
        dry_run="All" in (body.get("dryRun") or ()) or _is_dry_run(request.query.get("dryRun", "")),
    )
