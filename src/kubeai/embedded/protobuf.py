"""Bodies in Kubernetes' protobuf encoding, as far as `kubectl create KIND` and `kubectl auth can-i` send them.

Recent kubectl encodes what it makes itself (not what it reads from a file) this way and knows no way back to JSON. The
tables below name the fields that it can set; a field that is not in them refuses the body rather than get lost.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from kubeai.embedded.status import JSONObject, StatusError, unsupported_media_type

MAGIC = b"k8s\x00"
_VARINT, _BYTES = 0, 2

#: message -> field number -> "name: type"; a type in brackets is repeated, "-" is left out.
_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "Unknown": {1: "type: TypeMeta", 2: "raw: raw", 3: "encoding: string", 4: "contentType: string"},
    "TypeMeta": {1: "apiVersion: string", 2: "kind: string"},
    "ObjectMeta": {
        1: "name: string",
        2: "generateName: string",
        3: "namespace: string",
        4: "selfLink: -",
        5: "uid: string",
        6: "resourceVersion: string",
        7: "generation: -",
        8: "creationTimestamp: -",
        11: "labels: map",
        12: "annotations: map",
        13: "ownerReferences: [OwnerReference]",
        14: "finalizers: [string]",
        17: "managedFields: -",
    },
    "OwnerReference": {
        1: "kind: string",
        3: "name: string",
        4: "uid: string",
        5: "apiVersion: string",
        6: "controller: bool",
        7: "blockOwnerDeletion: bool",
    },
    "Namespace": {1: "metadata: ObjectMeta", 2: "spec: -", 3: "status: -"},
    "ConfigMap": {1: "metadata: ObjectMeta", 2: "data: map", 3: "binaryData: bytemap", 4: "immutable: bool"},
    "Secret": {
        1: "metadata: ObjectMeta",
        2: "data: bytemap",
        3: "type: string",
        4: "stringData: map",
        5: "immutable: bool",
    },
    "ServiceAccount": {1: "metadata: ObjectMeta", 4: "automountServiceAccountToken: bool"},
    "Job": {1: "metadata: ObjectMeta", 2: "spec: JobSpec", 3: "status: -"},
    "JobSpec": {
        1: "parallelism: int",
        2: "completions: int",
        3: "activeDeadlineSeconds: int",
        6: "template: PodTemplateSpec",
        7: "backoffLimit: int",
        8: "ttlSecondsAfterFinished: int",
        9: "completionMode: string",
        10: "suspend: bool",
    },
    "PodTemplateSpec": {1: "metadata: ObjectMeta", 2: "spec: PodSpec"},
    "PodSpec": {
        2: "containers: [Container]",
        3: "restartPolicy: string",
        4: "terminationGracePeriodSeconds: int",
        6: "dnsPolicy: string",
        7: "nodeSelector: map",
        8: "serviceAccountName: string",
        9: "serviceAccount: string",
        10: "nodeName: string",
        # Plain Go fields that are always encoded, and empty unless they are set.
        11: "hostNetwork: bool",
        12: "hostPID: bool",
        13: "hostIPC: bool",
        16: "hostname: string",
        17: "subdomain: string",
        19: "schedulerName: string",
        24: "priorityClassName: string",
    },
    "Container": {
        1: "name: string",
        2: "image: string",
        3: "command: [string]",
        4: "args: [string]",
        5: "workingDir: string",
        8: "resources: empty",
        13: "terminationMessagePath: string",
        14: "imagePullPolicy: string",
        16: "stdin: bool",
        17: "stdinOnce: bool",
        18: "tty: bool",
        20: "terminationMessagePolicy: string",
    },
    "Event": {1: "metadata: ObjectMeta"},
    "SelfSubjectReview": {1: "metadata: ObjectMeta", 2: "status: -"},
    "SelfSubjectAccessReview": {1: "metadata: ObjectMeta", 2: "spec: AccessSpec", 3: "status: -"},
    "AccessSpec": {1: "resourceAttributes: AccessResource", 2: "nonResourceAttributes: AccessPath"},
    "AccessResource": {
        1: "namespace: string",
        2: "verb: string",
        3: "group: string",
        4: "version: string",
        5: "resource: string",
        6: "subresource: string",
        7: "name: string",
    },
    "AccessPath": {1: "path: string", 2: "verb: string"},
    "DeleteOptions": {
        1: "gracePeriodSeconds: int",
        2: "preconditions: Preconditions",
        3: "orphanDependents: bool",
        4: "propagationPolicy: string",
        5: "dryRun: [string]",
    },
    "Preconditions": {1: "uid: string", 2: "resourceVersion: string"},
}


def decode(data: bytes) -> JSONObject:
    """The object in the body. Raises 415 for what is not understood."""
    if not data.startswith(MAGIC):
        raise _refused("the body does not begin as a Kubernetes object does")
    try:
        envelope = _message(data[len(MAGIC) :], "Unknown")
        head = envelope.get("type", {})
        obj = _message(envelope.get("raw", b""), head.get("kind", ""))
    except (IndexError, UnicodeDecodeError) as error:
        raise _refused(f"it cannot be parsed ({error})") from error
    return {name: value for name, value in head.items() if value} | obj


def _refused(why: str) -> StatusError:
    return unsupported_media_type(
        f"this body in protobuf is not understood here: {why}. Send it as JSON, for example with "
        "`kubectl create ... --dry-run=client -o yaml | kubectl apply -f -`"
    )


def _message(data: bytes, name: str) -> JSONObject:
    fields = _MESSAGES.get(name)
    if fields is None:
        raise _refused(f"kind {name or '?'}")
    found: JSONObject = {}
    for number, value in _fields(data):
        if number not in fields:
            raise _refused(f"field {number} of {name}")
        field, _, type = fields[number].partition(": ")
        _set(found, field, type, value)
    return found


def _set(found: JSONObject, field: str, type: str, value: int | bytes) -> None:
    if type.startswith("["):
        found.setdefault(field, []).append(_value(type[1:-1], value))
    elif type in ("map", "bytemap"):
        entry = dict(_fields(_bytes(value)))
        key = _bytes(entry.get(1, b"")).decode()
        item = _bytes(entry.get(2, b""))
        found.setdefault(field, {})[key] = item.decode() if type == "map" else base64.b64encode(item).decode()
    elif type == "empty" and value:
        raise _refused(f"{field} that are not empty")
    elif type not in ("-", "empty") and value not in (b"", 0):
        # Go encodes fields that are not set as empty ones.
        found[field] = _value(type, value)
    elif type == "int" and value == 0:
        found[field] = 0


def _value(type: str, value: int | bytes) -> Any:
    if type == "int":
        return value
    if type == "bool":
        return bool(value)
    if type == "raw":
        return value
    return _bytes(value).decode() if type == "string" else _message(_bytes(value), type)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise _refused("a number where text belongs")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, by number."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == _VARINT:
            number, position = _varint(data, position)
            yield key >> 3, number
        elif wire == _BYTES:
            size, position = _varint(data, position)
            if position + size > len(data):
                raise IndexError("it ends too early")
            yield key >> 3, data[position : position + size]
            position += size
        else:
            raise _refused(f"wire type {wire}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position
