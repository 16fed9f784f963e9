"""What all kinds have in common."""

from __future__ import annotations

from kubeai.embedded.schemas.terms import (
    Schema,
    boolean,
    free,
    free_list,
    integer,
    mapping,
    names,
    record,
    sequence,
    text,
    texts,
    time,
)

OWNER_REFERENCE = record(
    "An object that this one belongs to, and goes with.",
    required=("apiVersion", "kind", "name", "uid"),
    apiVersion=text("API version of the owner."),
    kind=text("Kind of the owner."),
    name=text("Name of the owner."),
    uid=text("UID of the owner."),
    controller=boolean("Whether this owner manages the object. At most one does."),
    blockOwnerDeletion=boolean("Whether a foreground deletion of the owner waits for this object."),
)

OBJECT_META = record(
    "Standard metadata: name, labels, owners and the marks of the server.",
    name=text("Unique within the namespace and kind. Cannot be changed."),
    generateName=text("A prefix from which the server makes a unique name, where name is empty."),
    namespace=text("The space within which the name is unique. Cannot be changed."),
    labels=texts("Keys and values that selectors find the object by."),
    annotations=texts("Keys and values that tools keep with the object."),
    ownerReferences=sequence("The objects that this one depends on.", OWNER_REFERENCE, keys=("uid",)),
    finalizers=sequence("Who has to finish something before the object may vanish.", {"type": "string"}, unique=True),
    uid=text("Unique in time and space. Set by the server."),
    resourceVersion=text("Changes with each change of the object. Set by the server."),
    generation=integer("Changes with each change of the desired state. Set by the server.", format="int64"),
    creationTimestamp=time("When the object was created. Set by the server.") | {"nullable": True},
    deletionTimestamp=time("When the object is to be gone. Set by the server when it is deleted."),
    deletionGracePeriodSeconds=integer("Seconds that the object may take to end.", format="int64"),
    managedFields=free_list("Which manager owns which fields (server-side apply)."),
    selfLink=text("Deprecated, and no longer set."),
)

#: As patches and field sets see it: the rest of the object may be of any kind.
API_VERSION = text("Version of the schema of this object, as GROUP/VERSION.")
KIND = text("The kind of this object, in CamelCase.")

CONDITION = record(
    "One aspect of the object's state.",
    required=("type", "status"),
    type=text("The aspect."),
    status=text("True, False or Unknown."),
    reason=text("Why, as one word."),
    message=text("Why, as a sentence."),
    lastTransitionTime=time("When status last changed.") | {"nullable": True},
    lastProbeTime=time("When the aspect was last looked at.") | {"nullable": True},
    lastUpdateTime=time("When the condition was last written.") | {"nullable": True},
    lastHeartbeatTime=time("When the aspect was last reported.") | {"nullable": True},
    observedGeneration=integer("The generation that this was said of.", format="int64"),
)
CONDITIONS = sequence("Aspects of the state.", CONDITION, keys=("type",))

LABEL_SELECTOR = record(
    "Which objects are meant, by their labels.",
    matchLabels=texts("Labels that must be there."),
    matchExpressions=free_list("Conditions on labels: key, operator (In, NotIn, Exists, DoesNotExist), values."),
)
OBJECT_REFERENCE = record(
    "Another object.",
    apiVersion=text("Its API version."),
    kind=text("Its kind."),
    namespace=text("Its namespace."),
    name=text("Its name."),
    uid=text("Its UID."),
    resourceVersion=text("The version that is meant."),
    fieldPath=text("The part of it that is meant, such as spec.containers{server}."),
)
LOCAL_REFERENCE = record("An object of the same namespace.", name=text("Its name."))


def whole(about: str, *, required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """The schema of a kind: its own fields beside those of every object."""
    return record(about, required=required, apiVersion=API_VERSION, kind=KIND, metadata=OBJECT_META, **fields)


__all__ = [
    "CONDITIONS",
    "LABEL_SELECTOR",
    "OBJECT_META",
    "OBJECT_REFERENCE",
    "free",
    "mapping",
    "names",
    "whole",
]
