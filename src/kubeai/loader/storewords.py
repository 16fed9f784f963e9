"""What an object store's refusal means to who wrote the url, and whether trying again is any use."""

from __future__ import annotations

import re
from enum import Enum


class Refusal(Enum):
    """The text is for people."""

    IDENTITY = (
        "there are neither keys nor an identity of this workload: give credentials, or for a public bucket set "
        "AWS_SKIP_SIGNATURE=true or GOOGLE_SKIP_SIGNATURE=true"
    )
    REGION = "the bucket is in another region: set AWS_REGION, or add ?region=REGION to the url"
    DENIED = "access is denied: check the credentials, and that they may list and read the bucket"
    UNKNOWN = "the store does not accept the credentials: check the keys, or the workload's identity"
    ABSENT = "there is no such bucket or object"
    CHANGED = "an object was changed while it was being loaded; load again"


#: In this order; the first that is found counts.
_SIGNS = (
    (Refusal.IDENTITY, r"169\.254\.\d+\.\d+|metadata\.google\.internal|computeMetadata"),
    (Refusal.REGION, r"PermanentRedirect|301 Moved|AuthorizationHeaderMalformed|AuthorizationQueryParametersError"),
    (
        Refusal.UNKNOWN,
        r"SignatureDoesNotMatch|InvalidAccessKeyId|XAdminUserNotFound|ExpiredToken|401 Unauth|UnauthenticatedError",
    ),
    (Refusal.DENIED, r"AccessDenied|403 Forbidden|PermissionDeniedError"),
    (Refusal.ABSENT, r"NoSuchBucket|NoSuchKey|404 Not Found|FileNotFoundError"),
    (Refusal.CHANGED, r"412 Precondition Failed|PreconditionError"),
)
_OUTAGE = re.compile(r"HTTP error|error decoding response|status code: 5\d\d|status code: 429|timed out")


def refusal(error: BaseException) -> Refusal | None:
    text = f"{type(error).__name__} {error}"
    return next((found for found, signs in _SIGNS if re.search(signs, text)), None)


def explain(error: BaseException) -> str:
    """One line."""
    if found := refusal(error):
        return str(found.value)
    return " ".join(str(error).partition("\n")[0].split()) or type(error).__name__


def is_outage(error: BaseException) -> bool:
    """Whether the store is out of reach, rather than of another opinion."""
    return refusal(error) is None and bool(_OUTAGE.search(str(error)))
