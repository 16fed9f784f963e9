"""The other built-in kinds."""

from __future__ import annotations

from kubeai.embedded.schemas.meta import CONDITIONS, LABEL_SELECTOR, LOCAL_REFERENCE, OBJECT_REFERENCE, whole
from kubeai.embedded.schemas.pods import POD_TEMPLATE
from kubeai.embedded.schemas.terms import (
    boolean,
    free,
    free_list,
    int_or_string,
    integer,
    names,
    quantities,
    record,
    sequence,
    text,
    texts,
    time,
)

NAMESPACE = whole(
    "Namespace is a space of names.",
    spec=record("How it ends.", finalizers=names("Who empties it before it may vanish.")),
    status=record("What is known of it.", phase=text("Active or Terminating."), conditions=CONDITIONS),
)
NODE = whole(
    "Node is a machine that runs Pods.",
    spec=record(
        "How it is used.",
        unschedulable=boolean("Whether it takes no new Pods."),
        taints=free_list("Marks that keep Pods away unless they tolerate them."),
        podCIDR=text("Addresses for its Pods."),
        podCIDRs=names("Addresses for its Pods."),
        providerID=text("Its name at the cloud provider."),
    ),
    status=record(
        "What is known of it.",
        capacity=quantities("What it has."),
        allocatable=quantities("What Pods may use of it."),
        conditions=CONDITIONS,
        addresses=sequence("Its addresses.", free(""), keys=("type",)),
        nodeInfo=free("Its versions."),
        phase=text("Deprecated."),
        daemonEndpoints=free("Ports of its agent."),
        images=free_list("Images that it has."),
        volumesInUse=names("Volumes in use."),
        volumesAttached=free_list("Volumes attached."),
        runtimeHandlers=free_list("Its container runtimes."),
        features=free("What it can do."),
        config=free("Its configuration."),
    ),
)
CONFIG_MAP = whole(
    "ConfigMap holds configuration as keys and values.",
    data=texts("The keys and values."),
    binaryData=texts("Values that are no text, in base64."),
    immutable=boolean("Whether the values cannot change."),
)
SECRET = whole(
    "Secret holds values that not everybody may see.",
    type=text("What it is for."),
    data=texts("The values, in base64."),
    stringData=texts("Values as plain text; the server moves them into data."),
    immutable=boolean("Whether the values cannot change."),
)
SERVICE = whole(
    "Service is a name for a set of Pods.",
    spec=free("Which Pods, under which ports. Kept, but nothing on one machine acts on it.")
    | {
        "properties": {
            "type": text("How it is reached."),
            "selector": texts("Labels of its Pods."),
            "clusterIP": text("Its address."),
            "ports": sequence(
                "Its ports.",
                record(
                    "A port.",
                    required=("port",),
                    name=text("Its name."),
                    port=integer("Its number."),
                    targetPort=int_or_string("The port of the Pods."),
                    nodePort=integer("The port on every node."),
                    protocol=text("TCP, UDP or SCTP.", default="TCP"),
                    appProtocol=text("What is spoken on it."),
                ),
                keys=("port", "protocol"),
            ),
        }
    },
    status=free("What is known of it."),
)
SERVICE_ACCOUNT = whole(
    "ServiceAccount is an identity for Pods.",
    secrets=sequence("Secrets that its Pods may use.", OBJECT_REFERENCE, keys=("name",)),
    imagePullSecrets=sequence("Secrets for pulling images.", LOCAL_REFERENCE),
    automountServiceAccountToken=boolean("Whether its Pods get a token."),
)
PERSISTENT_VOLUME_CLAIM = whole(
    "PersistentVolumeClaim asks for storage. On one machine it is a directory under the data directory.",
    spec=record(
        "What is asked for.",
        accessModes=names("How it may be mounted."),
        resources=record("How much.", requests=quantities("At least this."), limits=quantities("At most this.")),
        storageClassName=text("What kind of storage."),
        volumeName=text("The volume that is bound."),
        volumeMode=text("Filesystem or Block."),
        selector=LABEL_SELECTOR,
        dataSource=free("What it is filled from."),
        dataSourceRef=free("What it is filled from."),
        volumeAttributesClassName=text("Which class of attributes."),
    ),
    status=record(
        "What is known of it.",
        phase=text("Pending, Bound or Lost."),
        accessModes=names("How it can be mounted."),
        capacity=quantities("How much there is."),
        conditions=CONDITIONS,
        allocatedResources=quantities("How much is being made."),
        allocatedResourceStatuses=texts("How far that is."),
        currentVolumeAttributesClassName=text("Its class of attributes."),
        modifyVolumeStatus=free("State of a change."),
    ),
)
EVENT = whole(
    "Event tells something that happened to an object.",
    involvedObject=OBJECT_REFERENCE,
    type=text("Normal or Warning."),
    reason=text("What happened, as one word."),
    message=text("What happened, as a sentence."),
    count=integer("How often it happened."),
    firstTimestamp=time("When it first happened.") | {"nullable": True},
    lastTimestamp=time("When it last happened.") | {"nullable": True},
    eventTime=text("When it happened.") | {"nullable": True},
    series=free("Repeats of it.") | {"nullable": True},
    action=text("What was done."),
    related=OBJECT_REFERENCE,
    source=record("Who tells it.", component=text("The program."), host=text("Its machine.")),
    reportingComponent=text("Who tells it."),
    reportingInstance=text("Which replica of that."),
)
JOB = whole(
    "Job runs Pods until enough of them have succeeded.",
    spec=record(
        "What to run, and how often.",
        required=("template",),
        template=POD_TEMPLATE,
        parallelism=integer("How many Pods run at once."),
        completions=integer("How many Pods have to succeed."),
        completionMode=text("NonIndexed or Indexed."),
        backoffLimit=integer("How many failures are borne."),
        backoffLimitPerIndex=integer("How many failures of one index are borne."),
        maxFailedIndexes=integer("How many indexes may fail."),
        activeDeadlineSeconds=integer("How long it may take.", format="int64"),
        ttlSecondsAfterFinished=integer("How long it is kept when it has ended."),
        suspend=boolean("Whether it pauses."),
        selector=LABEL_SELECTOR,
        manualSelector=boolean("Whether the selector is the user's."),
        podFailurePolicy=free("What failures mean."),
        successPolicy=free("When it has succeeded."),
        podReplacementPolicy=text("When a Pod is replaced."),
        managedBy=text("Which controller runs it."),
    ),
    status=record(
        "What is known of it.",
        active=integer("Pods that run or wait."),
        ready=integer("Pods that are ready."),
        succeeded=integer("Pods that have succeeded."),
        failed=integer("Pods that have failed."),
        terminating=integer("Pods that are ending."),
        startTime=time("When it began.") | {"nullable": True},
        completionTime=time("When it had succeeded.") | {"nullable": True},
        conditions=CONDITIONS,
        uncountedTerminatedPods=free("Pods that are not counted yet."),
        completedIndexes=text("Indexes that have succeeded."),
        failedIndexes=text("Indexes that have failed."),
    ),
)
LEASE = whole(
    "Lease says who leads.",
    spec=record(
        "Who leads, and since when.",
        holderIdentity=text("The leader."),
        leaseDurationSeconds=integer("How long a silent leader stays leader."),
        acquireTime=text("When it became leader.") | {"nullable": True},
        renewTime=text("When it last said so.") | {"nullable": True},
        leaseTransitions=integer("How often the leader has changed."),
        strategy=text("How a new leader is chosen."),
        preferredHolder=text("Who should lead next."),
    ),
)
CUSTOM_RESOURCE_DEFINITION = whole(
    "CustomResourceDefinition adds a kind to the API.",
    required=("spec",),
    spec=record(
        "The kind.",
        required=("group", "names", "scope", "versions"),
        group=text("Its API group."),
        scope=text("Whether its objects live in namespaces.", choices=("Namespaced", "Cluster")),
        names=record(
            "Its names.",
            required=("plural", "kind"),
            plural=text("Name of the collection, in lower case."),
            singular=text("Name of one, in lower case."),
            kind=text("Name of the kind, in CamelCase."),
            listKind=text("Kind of a list of them."),
            shortNames=names("Short names for the command line."),
            categories=names("Groups of resources that it belongs to, such as all."),
        ),
        versions=sequence(
            "Its versions.",
            record(
                "A version.",
                required=("name", "served", "storage"),
                name=text("Its name, such as v1."),
                served=boolean("Whether the API serves it."),
                storage=boolean("Whether objects are stored in it. Exactly one is."),
                deprecated=boolean("Whether its use is warned of."),
                deprecationWarning=text("The warning."),
                schema=free("Its schema, in openAPIV3Schema."),
                subresources=free("Its status and scale subresources."),
                additionalPrinterColumns=free_list("Columns of tables."),
                selectableFields=free_list("Fields for field selectors."),
            ),
        ),
        conversion=free("How versions are converted. Only None is offered."),
        preserveUnknownFields=boolean("Deprecated; must be false."),
    ),
    status=free("What is known of it."),
)
