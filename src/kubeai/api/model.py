"""The Model resource: `kubeai.org/v1`.

The types are the single source of the CRD's schema (`api.crd` renders it) and of the decoded objects. Rules that
compare several fields are in `api.validation`; what one field may hold stands beside it here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict

from kubeai.api.base import APIType, Int32, Int64
from kubeai.api.k8s.resources import MODELS
from kubeai.api.pods import PodSettings
from kubeai.api.replicas import RolloutSettings

Feature = Literal["TextGeneration", "TextEmbedding", "Reranking", "SpeechToText", "TextToSpeech", "ImageGeneration"]
EngineName = Literal["OLlama", "VLLM", "FasterWhisper", "Infinity", "LlamaCpp", "SGLang", "TEI"]
Strategy = Literal["LeastLoad", "PrefixHash"]

#: We read an absent field as a value that the API server does not fill in.
_NO_DEFAULT: JsonDict = {"default": None}
#: The API server fills in an empty object, and then the defaults inside it.
_EMPTY_OBJECT: JsonDict = {"default": {}}
_OBJECT_REFERENCE: JsonDict = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Name of the object, in the Model's namespace."},
        "optional": {"type": "boolean", "description": "Whether the object may be absent."},
    },
    "x-kubernetes-map-type": "atomic",
}
#: `core/v1 EnvFromSource`; the value itself goes into the Pod as it is.
_ENV_FROM_SOURCE: JsonDict = {
    "type": "object",
    "description": "A source of many environment variables (core/v1 EnvFromSource).",
    "properties": {
        "configMapRef": {**_OBJECT_REFERENCE, "description": "The ConfigMap whose entries become variables."},
        "prefix": {"type": "string", "description": "Put before the name of each variable."},
        "secretRef": {**_OBJECT_REFERENCE, "description": "The Secret whose entries become variables."},
    },
}


def _required(*fields: str) -> ConfigDict:
    """Fields that are required on the wire although they have a default here, beside those without one."""

    def add(schema: dict[str, Any]) -> None:
        schema["required"] = [*schema.get("required", ()), *fields]

    return ConfigDict(json_schema_extra=add)


#: Label `features.kubeai.org/FEATURE: "true"` that the operator sets on each Model.
FEATURE_LABEL_PREFIX = "features.kubeai.org/"
#: Holds a Model back until its cached weights are evicted.
CACHE_FINALIZER = "kubeai.org/cache-eviction"
#: "true": let the deletion of the Model remove its weights, although the cache profile keeps them.
EVICT_CACHE_ANNOTATION = "kubeai.org/evict-cache"
MAX_NAME_LENGTH = 40


class Metadata(APIType):
    """The part of a Model's ObjectMeta that is read here."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int | None = None
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None


class PrefixHash(APIType):
    """Settings of the PrefixHash strategy: consistent hashing with bounded loads."""

    mean_load_factor: int = Field(
        default=125,
        ge=100,
        description="How far above the mean load of all endpoints one endpoint may go before a request walks on to "
        "the next one, in percent. 125 is the usual choice for consistent hashing with bounded loads.",
    )
    replication: int = Field(
        default=256,
        description="How many points each endpoint has on the hash ring. More points spread the load more evenly "
        "and make a change of the endpoints dearer. Cannot be changed later.",
    )
    prefix_char_length: int = Field(
        default=100,
        description="How many characters of the prompt, counted from its start, make the key that is hashed.",
    )


class LoadBalancing(APIType):
    """How requests are spread over the replicas of a Model."""

    strategy: Strategy = Field(
        default="LeastLoad",
        description="LeastLoad takes the replica with the fewest requests in flight. PrefixHash sends prompts that "
        "begin alike to the same replica, so that its prefix cache is used.",
    )
    max_requests_per_replica: Int32 | None = Field(
        default=None,
        ge=1,
        description="How many requests one replica gets at a time. More wait in the gateway, where callers take turns "
        "and priorities count. Without it every request goes to a replica at once, and waits there.",
    )
    prefix_hash: PrefixHash = Field(
        default_factory=PrefixHash,
        description="Settings of the PrefixHash strategy; others ignore them.",
        json_schema_extra=_EMPTY_OBJECT,
    )


class Adapter(APIType):
    """A LoRA adapter that is served beside its base model, as model `NAME_ADAPTER`."""

    name: str = Field(
        max_length=63,
        pattern="^[a-z0-9-]+$",
        description="Name of the adapter: lower-case letters, digits and dashes.",
    )
    url: str = Field(
        description="Where the adapter is loaded from: hf://REPO/NAME, s3://BUCKET/PATH, gs://BUCKET/PATH or "
        "oss://BUCKET/PATH; also pypi://PACKAGE@VERSION/PATH, and file:///DIRECTORY on one machine."
    )


class File(APIType):
    """A small text file that is mounted into the server's container."""

    path: str = Field(
        max_length=1024,
        description="Absolute path of the file in the container. It must not contain a colon.",
    )
    content: str = Field(
        max_length=100_000, description="The text of the file. It is kept in a ConfigMap that the Model owns."
    )


class ModelSpec(APIType):
    """What the user wants to be served, and how."""

    # As in the reference's API: clients that send the whole object always have these two.
    model_config = _required("targetRequests", "scaleDownDelaySeconds")

    url: str = Field(
        description="Where the weights come from.\n"
        "hf://ORG/NAME: a repository of the Hugging Face hub;\n"
        "pvc://CLAIM or pvc://CLAIM/PATH: a PersistentVolumeClaim that holds them;\n"
        "ollama://MODEL: a model of an Ollama registry (engine OLlama);\n"
        "s3://BUCKET/PATH, gs://BUCKET/PATH, oss://BUCKET/PATH: object storage (gs and oss need a cacheProfile);\n"
        "pypi://PACKAGE@VERSION/PATH: a file or directory inside a Python wheel;\n"
        "file:///PATH: a path on this machine (only where KubeAI runs without a cluster);\n"
        "oci://REGISTRY/IMAGE:TAG: a container image that holds them, ?path= says where (Kubernetes image volumes).\n"
        "Parameters: ?model= (the model or file inside the source), ?allow= and ?ignore= (patterns of files, separated "
        "by commas), ?revision=, ?region=, ?insecure=true, ?pull=false."
    )
    adapters: list[Adapter] | None = Field(
        default=None,
        # An API server refuses a rule about each item of a list that has no end.
        max_length=1000,
        description="LoRA adapters to serve beside the model (engines VLLM and LlamaCpp). Their names must differ.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    features: list[Feature] = Field(description="What the model can do. It decides which routes of the API serve it.")
    engine: EngineName = Field(description="The model server to run.")
    resource_profile: str | None = Field(
        default=None,
        description="What each replica needs, as PROFILE:COUNT. The profile is one of the system configuration's "
        'resourceProfiles; its requests and limits are multiplied by the count. "nvidia-gpu-l4:2" asks for two L4 '
        "GPUs.",
    )
    cache_profile: str | None = Field(
        default=None,
        description="Cache the weights on the volume of this cacheProfile of the system configuration. Cannot be "
        "changed once it is set.",
    )
    image: str | None = Field(
        default=None,
        description="Image of the server. Without it, the resource profile and the engine decide.",
    )
    args: list[str] | None = Field(default=None, description="Further arguments for the server.")
    env: dict[str, str] | None = Field(default=None, description="Environment variables of the server.")
    env_from: list[Annotated[dict[str, Any], WithJsonSchema(_ENV_FROM_SOURCE)]] | None = Field(
        default=None, description="Environment variables of the server taken from Secrets and ConfigMaps."
    )
    replicas: Int32 | None = Field(
        default=None,
        description="How many replicas should run now. KubeAI sets it, unless autoscalingDisabled is true.",
    )
    min_replicas: Int32 = Field(
        default=0,
        ge=0,
        description="Never scale below this many replicas. 0 lets an idle model stop.",
        json_schema_extra=_NO_DEFAULT,
    )
    max_replicas: Int32 | None = Field(
        default=None, ge=1, description="Never scale above this many replicas. Without it there is no limit."
    )
    autoscaling_disabled: bool | None = Field(
        default=None, description="Leave replicas alone: neither requests nor idleness change it."
    )
    target_requests: Int32 = Field(
        default=100, ge=1, description="How many requests in flight for each replica the autoscaler aims at."
    )
    scale_down_delay_seconds: Int64 = Field(
        default=30, description="Scale down only after the load has asked for it for this long, in seconds."
    )
    autoscaling_window_seconds: Int64 | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="How much of the past the autoscaler averages for this Model, in seconds. Without it the system "
        "configuration's modelAutoscaling.timeWindow decides.",
    )
    owner: str | None = Field(
        default=None, description="Shown as owned_by in the list of models. Deprecated: use a label instead."
    )
    load_balancing: LoadBalancing = Field(
        default_factory=LoadBalancing,
        description="How requests are spread over the replicas.",
        json_schema_extra=_EMPTY_OBJECT,
    )
    files: list[File] | None = Field(
        default=None, max_length=10, description="Small text files to mount into the server's container."
    )
    priority_class_name: str | None = Field(
        default=None,
        description="Priority class of the model's Pods. It must exist before the Model is created.",
    )
    rollout: RolloutSettings | None = Field(
        default=None, description="How Pods are replaced when what they are made of has changed."
    )
    pods: PodSettings | None = Field(
        default=None, description="What the Pods have that engine and resource profile do not say."
    )


class ReplicaStatus(APIType):
    """How many Pods of the Model exist, and how many of them are ready."""

    model_config = _required("all", "ready")

    all: Int32 = Field(default=0, description="Pods that exist, whatever their state.", json_schema_extra=_NO_DEFAULT)
    ready: Int32 = Field(default=0, description="Pods that are ready to serve.", json_schema_extra=_NO_DEFAULT)


class CacheStatus(APIType):
    """State of the cached weights."""

    model_config = _required("loaded")

    loaded: bool = Field(
        default=False, description="Whether the weights are on the cache volume.", json_schema_extra=_NO_DEFAULT
    )


class ModelCondition(APIType):
    """One aspect of the Model's state, in the form of `metav1.Condition`."""

    model_config = _required("message", "lastTransitionTime")

    type: str = Field(
        max_length=316, description="The aspect: Ready, Progressing, Scheduled, CacheLoaded or AdaptersLoaded."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the aspect holds.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Why, as one word for programs.",
    )
    message: str = Field(
        default="",
        max_length=32_768,
        description="Why, as a sentence for people.",
        json_schema_extra=_NO_DEFAULT,
    )
    last_transition_time: datetime | None = Field(default=None, description="When status last changed.")
    observed_generation: Int64 | None = Field(default=None, ge=0, description="The generation that this was said of.")


class ModelStatus(APIType):
    """What the operator has seen of the Model."""

    replicas: ReplicaStatus = Field(default_factory=ReplicaStatus, description="The Model's Pods, counted.")
    cache: CacheStatus | None = Field(default=None, description="The cached weights, where a cacheProfile is set.")
    conditions: list[ModelCondition] | None = Field(
        default=None,
        description="Whether the Model is ready, and if not, why.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: Int64 | None = Field(
        default=None, description="The generation of the spec that this status describes."
    )


class Model(APIType):
    """A machine-learning model to be served."""

    metadata: Metadata = Field(default_factory=Metadata)
    spec: ModelSpec
    status: ModelStatus = Field(default_factory=ModelStatus)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations or {}

    @property
    def terminating(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def adapters(self) -> dict[str, str]:
        """Adapter name -> url."""
        return {a.name: a.url for a in self.spec.adapters or ()}

    def manifest(self) -> dict[str, Any]:
        """The Model as it goes on the wire: minReplicas always, other absent fields not at all."""
        fields = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"apiVersion": MODELS.api_version, "kind": MODELS.kind, **fields}

    def reference(self) -> dict[str, Any]:
        """The Model as Events name it (core/v1 ObjectReference)."""
        return {
            "apiVersion": MODELS.api_version,
            "kind": MODELS.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "resourceVersion": self.metadata.resource_version,
        }

    def condition(self, type: str) -> ModelCondition | None:
        return next((c for c in self.status.conditions or () if c.type == type), None)
