"""Pods and what is inside them."""

from __future__ import annotations

from kubeai.embedded.schemas.meta import CONDITIONS, LOCAL_REFERENCE, OBJECT_META, whole
from kubeai.embedded.schemas.terms import (
    Schema,
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


def _key_of(what: str) -> Schema:
    return record(
        f"One key of a {what}.",
        required=("key",),
        name=text(f"Name of the {what}."),
        key=text("The key."),
        optional=boolean("Whether it may be missing."),
    )


def _all_of(what: str) -> Schema:
    return record(
        f"All keys of a {what}.",
        name=text(f"Name of the {what}."),
        optional=boolean("Whether it may be missing."),
    )


_ENV = record(
    "An environment variable.",
    required=("name",),
    name=text("Its name."),
    value=text("Its value. $(NAME) stands for another variable."),
    valueFrom=record(
        "Where its value comes from.",
        configMapKeyRef=_key_of("ConfigMap"),
        secretKeyRef=_key_of("Secret"),
        fieldRef=record(
            "A field of the Pod.",
            required=("fieldPath",),
            apiVersion=text("Version that the path is written for."),
            fieldPath=text("Such as metadata.name, metadata.labels['KEY'] or status.podIP."),
        ),
        resourceFieldRef=free("A request or limit of a container."),
        fileKeyRef=free("A key of a file in a volume."),
    ),
)
_ENV_FROM = record(
    "Environment variables from all keys of an object.",
    prefix=text("Put before each name."),
    configMapRef=_all_of("ConfigMap"),
    secretRef=_all_of("Secret"),
)
_HTTP_GET = record(
    "An HTTP request; 200 to 399 is success.",
    required=("port",),
    path=text("The path."),
    port=int_or_string("Number or name of the port."),
    host=text("The host, if it is not the Pod."),
    scheme=text("HTTP or HTTPS."),
    httpHeaders=free_list("Headers of the request."),
)
_EXEC = record(
    "A command in the container; exit status 0 is success.", command=names("The command, not run by a shell.")
)
_TCP_SOCKET = record(
    "A connection; success when it opens.",
    required=("port",),
    host=text("The host, if it is not the Pod."),
    port=int_or_string("Number or name of the port."),
)
_PROBE_FIELDS = {
    "exec": _EXEC,
    "httpGet": _HTTP_GET,
    "tcpSocket": _TCP_SOCKET,
    "grpc": free("A gRPC health check."),
    "initialDelaySeconds": integer("Wait this long after the start."),
    "timeoutSeconds": integer("Give up on a try after this long."),
    "periodSeconds": integer("Try this often."),
    "successThreshold": integer("This many successes in a row make it good."),
    "failureThreshold": integer("This many failures in a row make it bad."),
    "terminationGracePeriodSeconds": integer("How long the Pod may take to end.", format="int64"),
}


def _probe(about: str) -> Schema:
    return record(about) | {"properties": _PROBE_FIELDS}


_HANDLER = record("What to do.", exec=_EXEC, httpGet=_HTTP_GET, tcpSocket=_TCP_SOCKET, sleep=free("Wait."))
_RESOURCES = record(
    "What the container needs.",
    requests=quantities("What it is guaranteed."),
    limits=quantities("What it may use at most."),
    claims=free_list("Devices claimed for it."),
)
_VOLUME_MOUNT = record(
    "A volume's place in the container.",
    required=("name", "mountPath"),
    name=text("Name of the volume."),
    mountPath=text("Where it appears."),
    subPath=text("The part of the volume that is mounted."),
    subPathExpr=text("The same, with $(NAME) for environment variables."),
    readOnly=boolean("Whether it cannot be written."),
    recursiveReadOnly=text("Whether mounts below are read-only as well."),
    mountPropagation=text("How mounts propagate."),
)
_PORT = record(
    "A port that the container listens on.",
    required=("containerPort",),
    name=text("Its name, for probes and Services."),
    containerPort=integer("Its number."),
    hostPort=integer("The same on the host."),
    hostIP=text("The host's address."),
    # Part of the key: an item that does not name it must be found again by its default.
    protocol=text("TCP, UDP or SCTP.", default="TCP"),
)

CONTAINER = record(
    "A container.",
    required=("name",),
    name=text("Its name, unique in the Pod."),
    image=text("The image to run. On one machine it names a local server, such as local/llamacpp."),
    imagePullPolicy=text("When to pull the image.", choices=("Always", "IfNotPresent", "Never")),
    command=names("What to run, instead of the image's entrypoint."),
    args=names("Its arguments."),
    workingDir=text("Its working directory."),
    env=sequence("Environment variables.", _ENV, keys=("name",)),
    envFrom=sequence("Environment variables from ConfigMaps and Secrets.", _ENV_FROM),
    ports=sequence("Ports that it listens on.", _PORT, keys=("containerPort", "protocol")),
    resources=_RESOURCES,
    resizePolicy=free_list("How resources may change in place."),
    restartPolicy=text("Always makes an init container run beside the others."),
    restartPolicyRules=free_list("Which exits lead to a restart."),
    volumeMounts=sequence("Volumes and their places.", _VOLUME_MOUNT, keys=("mountPath",)),
    volumeDevices=free_list("Raw block devices."),
    livenessProbe=_probe("When it fails, the container is started again."),
    readinessProbe=_probe("While it fails, the Pod gets no requests."),
    startupProbe=_probe("Until it succeeds, the others do not run."),
    lifecycle=record(
        "What to do at its ends.",
        postStart=_HANDLER,
        preStop=_HANDLER,
        stopSignal=text("The signal that asks it to end."),
    ),
    securityContext=free("Privileges of the container."),
    terminationMessagePath=text("The file with its last words."),
    terminationMessagePolicy=text("Where its last words come from."),
    stdin=boolean("Whether it has a standard input."),
    stdinOnce=boolean("Whether that closes after the first client."),
    tty=boolean("Whether it has a terminal."),
)

_FILE_ITEMS = free_list("Which keys appear as which files: key, path, mode.")
_MODE = integer("Permissions of the files.")
_OTHER_SOURCES = (
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi ephemeral fc flexVolume flocker gcePersistentDisk "
    "gitRepo glusterfs image iscsi nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
)
_VOLUME = record(
    "A volume.",
    required=("name",),
    name=text("Its name, unique in the Pod."),
    emptyDir=record(
        "An empty directory that lives as long as the Pod.",
        medium=text("Memory keeps it in memory."),
        sizeLimit=int_or_string("How large it may become.") | {"nullable": True},
    ),
    hostPath=record(
        "A path of the machine.", required=("path",), path=text("The path."), type=text("What it must be.")
    ),
    configMap=record(
        "The keys of a ConfigMap as files.",
        name=text("Name of the ConfigMap."),
        items=_FILE_ITEMS,
        defaultMode=_MODE,
        optional=boolean("Whether it may be missing."),
    ),
    secret=record(
        "The keys of a Secret as files.",
        secretName=text("Name of the Secret."),
        items=_FILE_ITEMS,
        defaultMode=_MODE,
        optional=boolean("Whether it may be missing."),
    ),
    persistentVolumeClaim=record(
        "A claim's volume.",
        required=("claimName",),
        claimName=text("Name of the claim."),
        readOnly=boolean("Whether it cannot be written."),
    ),
    downwardAPI=free("Fields of the Pod as files."),
    projected=free("Several sources in one directory."),
    **{name: free("Not offered on one machine.") for name in _OTHER_SOURCES.split()},
)

POD_SPEC = record(
    "What the Pod runs, and how.",
    required=("containers",),
    containers=sequence("The containers.", CONTAINER, keys=("name",)),
    initContainers=sequence(
        "Containers that run to their end, one by one, before the others.", CONTAINER, keys=("name",)
    ),
    ephemeralContainers=sequence("Containers added for debugging.", CONTAINER, keys=("name",)),
    volumes=sequence("The volumes.", _VOLUME, keys=("name",)),
    restartPolicy=text("When to start containers again.", choices=("Always", "OnFailure", "Never")),
    terminationGracePeriodSeconds=integer("How long the Pod may take to end.", format="int64"),
    activeDeadlineSeconds=integer("How long the Pod may run.", format="int64"),
    nodeName=text("The node that runs it. Set by the scheduler."),
    nodeSelector=texts("Labels that the node must have."),
    affinity=free("Which nodes, and which neighbours, are preferred or required."),
    tolerations=free_list("Taints of nodes that do not matter."),
    topologySpreadConstraints=free_list("How to spread Pods over nodes."),
    schedulerName=text("Which scheduler places it."),
    schedulingGates=free_list("What must be lifted before it is scheduled."),
    schedulingGroup=free("The group that it is scheduled with."),
    priorityClassName=text("Its priority, by name."),
    priority=integer("Its priority."),
    preemptionPolicy=text("Whether it may push out others."),
    serviceAccountName=text("The account that it runs as."),
    serviceAccount=text("Deprecated name of serviceAccountName."),
    automountServiceAccountToken=boolean("Whether it gets a token of that account."),
    imagePullSecrets=sequence("Secrets for pulling images.", LOCAL_REFERENCE, keys=("name",)),
    securityContext=free("Privileges of all containers."),
    runtimeClassName=text("Which container runtime runs it."),
    overhead=quantities("What the runtime itself needs."),
    hostNetwork=boolean("Whether it uses the host's network."),
    hostPID=boolean("Whether it sees the host's processes."),
    hostIPC=boolean("Whether it shares the host's memory segments."),
    hostUsers=boolean("Whether it shares the host's user ids."),
    hostname=text("Its host name."),
    hostnameOverride=text("Its host name, whatever the rest says."),
    subdomain=text("Its subdomain."),
    setHostnameAsFQDN=boolean("Whether its host name is the full one."),
    hostAliases=free_list("Lines for its hosts file."),
    dnsPolicy=text("How it finds names."),
    dnsConfig=free("Where it finds names."),
    enableServiceLinks=boolean("Whether it gets environment variables for Services."),
    shareProcessNamespace=boolean("Whether its containers see each other's processes."),
    readinessGates=free_list("Further conditions for being ready."),
    resourceClaims=free_list("Devices claimed for it."),
    resources=_RESOURCES,
    os=free("Its operating system."),
)

POD_STATUS = record(
    "What is known of the Pod.",
    phase=text("Pending, Running, Succeeded, Failed or Unknown."),
    reason=text("Why, as one word."),
    message=text("Why, as a sentence."),
    conditions=CONDITIONS,
    hostIP=text("Address of the node."),
    hostIPs=free_list("Addresses of the node."),
    podIP=text("Address of the Pod."),
    podIPs=sequence("Addresses of the Pod.", free(""), keys=("ip",)),
    startTime=time("When the node took it on.") | {"nullable": True},
    qosClass=text("How it is treated when memory runs out."),
    nominatedNodeName=text("Where it is going to run."),
    initContainerStatuses=free_list("States of the init containers."),
    containerStatuses=free_list("States of the containers."),
    ephemeralContainerStatuses=free_list("States of the containers added for debugging."),
    observedGeneration=integer("The generation that this status describes.", format="int64"),
    resize=text("State of a change of resources."),
    resourceClaimStatuses=free_list("Devices that it got."),
)

POD = whole("Pod runs one or more containers on one node.", spec=POD_SPEC, status=POD_STATUS)
POD_TEMPLATE = record("The Pods that are made.", metadata=OBJECT_META, spec=POD_SPEC)
