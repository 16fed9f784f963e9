"""Refusals in Kubernetes' own words.

Clients act on `reason` and `code` (a conflict is retried, AlreadyExists means done), people read `message`: all three
must be what a real API server says, so every refusal of the embedded server is made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubeai.api.k8s.resources import Resource

JSONObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that breaks a rule, as `field: message`."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class StatusError(Exception):
    """A request that is refused; `.body()` is the Status object that the client gets."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JSONObject | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        if retry_after_s is not None:
            self.details["retryAfterSeconds"] = retry_after_s
        self.retry_after_s = retry_after_s

    def body(self) -> JSONObject:
        status: JSONObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": self.message, "reason": self.reason}
        if self.details:
            status["details"] = self.details
        status["code"] = self.code
        return status


def _details(resource: Resource, name: str) -> JSONObject:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{resource.group_plural} "{name}" not found', _details(resource, name))


def unknown_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> StatusError:
    message = f'{resource.group_plural} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> StatusError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.group_plural} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(resource, name))


def apply_conflict(causes: Sequence[Cause]) -> StatusError:
    """Server-side apply would overwrite fields that other managers own."""
    noun = "conflict" if len(causes) == 1 else "conflicts"
    listed = ", ".join(f"{c.message}: {c.field}" for c in causes)
    details = {"causes": [_cause(c) for c in causes]}
    return StatusError(409, "Conflict", f"Apply failed with {len(causes)} {noun}: {listed}", details)


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    listed = str(causes[0]) if len(causes) == 1 else "[" + ", ".join(map(str, causes)) + "]"
    details = _details(resource, name) | {"kind": resource.kind, "causes": [_cause(c) for c in causes]}
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details)


def _cause(cause: Cause) -> JSONObject:
    return {"reason": cause.reason, "message": cause.message, "field": cause.field}


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Cause] = ()) -> StatusError:
    details = _details(resource, name) | ({"causes": [_cause(c) for c in causes]} if causes else {})
    return StatusError(403, "Forbidden", f'{resource.group_plural} "{name}" is forbidden: {why}', details)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> StatusError:
    """The client must list again: what it asks for is older than the history that is kept."""
    return StatusError(410, "Expired", message)


def method_not_allowed(message: str) -> StatusError:
    return StatusError(405, "MethodNotAllowed", message)


def unsupported_media_type(message: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", message)


def too_large(limit_bytes: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes} bytes")


def storage_failed(why: str) -> StatusError:
    """The journal refused the write: nothing has changed, and the same request may succeed later."""
    return StatusError(500, "InternalError", f"Internal error occurred: {why}")


def internal(why: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {why}")


def success(details: JSONObject | None = None) -> JSONObject:
    """The Status that answers a completed deletion."""
    status: JSONObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status | ({"details": details} if details else {})
