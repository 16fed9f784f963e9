"""The system configuration (`system.yaml`) as frozen, checked values.

One class for each section; what several keys must have in common is checked in the class that holds them. Where a
default comes from the file format's first implementation it must not change: the same file must mean the same.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kubeai.api.model import EngineName
from kubeai.api.replicas import RolloutStrategy
from kubeai.config.fields import (
    Address,
    Fragment,
    HeaderName,
    JSONPatch,
    Labels,
    ListenAddress,
    Network,
    NonEmpty,
    ObjectName,
    OptionalName,
    OptionalText,
    Origin,
    PositiveSeconds,
    ProfileName,
    Quantity,
    Seconds,
    Settings,
)
from kubeai.config.pods import PodTemplate, Probes

AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]

#: Images of engines that the configuration does not name. Never a moving tag (fault R2).
DEFAULT_IMAGES: dict[EngineName, str] = {
    "OLlama": "ollama/ollama:0.11.11",
    "VLLM": "vllm/vllm-openai:v0.10.2",
    "FasterWhisper": "fedirz/faster-whisper-server:0.6.0-rc.3-cpu",
    "Infinity": "michaelf34/infinity:0.0.77",
    "LlamaCpp": "ghcr.io/ggml-org/llama.cpp:server-b11176",
    "SGLang": "lmsysorg/sglang:v0.5.18",
    "TEI": "ghcr.io/huggingface/text-embeddings-inference:cpu-1.9.3",
}


class SecretNames(Settings):
    """The Secrets that hold the credentials of each source of models. Each may be absent from the cluster."""

    alibaba: ObjectName = Field(
        default="kubeai-alibaba", description="Credentials for oss:// urls: accessKeyID and accessKeySecret."
    )
    aws: ObjectName = Field(
        default="kubeai-aws", description="Credentials for s3:// urls: accessKeyID and secretAccessKey."
    )
    gcp: ObjectName = Field(default="kubeai-gcp", description="Credentials for gs:// urls: jsonKeyfile.")
    huggingface: ObjectName = Field(default="kubeai-huggingface", description="Credentials for hf:// urls: token.")


class ModelServer(Settings):
    """One engine."""

    images: dict[NonEmpty, NonEmpty] = Field(
        description="Image name -> image. A resource profile's imageName chooses one; without it `default` is taken."
    )

    @field_validator("images")
    @classmethod
    def _has_default(cls, images: dict[str, str]) -> dict[str, str]:
        if "default" not in images:
            raise ValueError("needs an image named 'default'")
        return images


class ConfigMapKey(Settings):
    """One key of a ConfigMap in the namespace of the Models."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    key: NonEmpty = Field(default="ca.crt", description="Its key.")


class ModelSource(Settings):
    """Where a kind of source is, if not where its provider's own is."""

    endpoint: OptionalText = Field(default=None, description="URL of the endpoint, as in https://minio.example.com.")
    region: OptionalText = Field(default=None, description="Region of the buckets (S3 and OSS).")
    ca_config_map: ConfigMapKey | None = Field(
        default=None, description="Certificates of the authority that the endpoint's own certificate comes from."
    )
    env: dict[NonEmpty, str] = Field(
        default_factory=dict, description="Further variables for whoever loads from there: server, loader, Jobs."
    )


class ModelSources(Settings):
    """Private hubs and object stores."""

    hf: ModelSource | None = Field(default=None, description="For hf:// urls.")
    s3: ModelSource | None = Field(default=None, description="For s3:// urls: any store that speaks S3's API.")
    gs: ModelSource | None = Field(default=None, description="For gs:// urls.")
    oss: ModelSource | None = Field(default=None, description="For oss:// urls.")

    def of(self, scheme: str) -> ModelSource | None:
        return {"hf": self.hf, "s3": self.s3, "gs": self.gs, "oss": self.oss}.get(scheme)


class ModelLoading(Settings):
    """How models are downloaded. All but the image are additions of this project.

    Jobs that fill and clear caches run where the Model's servers would, with their service account and pull secrets,
    unless something else is said here.
    """

    image: NonEmpty = Field(
        default="ghcr.io/kubeai-project/kubeai-model-loader:v0.14.0", description="Image of the model loader."
    )
    cache_limit: Quantity | None = Field(
        default=None,
        description="On one machine: how much the cache of downloads, and each cache profile's volume, may hold. What "
        "has not been used for the longest time goes first. Without it nothing goes.",
    )
    resources: Fragment | None = Field(
        default=None, description="core/v1 ResourceRequirements of the containers that load weights."
    )
    service_account_name: OptionalName = Field(default=None, description="Service account of the Jobs.")
    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must have for the Jobs.")
    affinity: Fragment | None = Field(default=None, description="core/v1 Affinity of the Jobs.")
    tolerations: list[Fragment] = Field(default_factory=list, description="core/v1 Tolerations of the Jobs.")
    priority_class_name: OptionalName = Field(default=None, description="Priority class of the Jobs.")
    json_patches: list[JSONPatch] = Field(
        default_factory=list,
        description="RFC 6902 operations that are applied to the Pod template of each Job: /metadata/labels, "
        "/metadata/annotations and /spec are there.",
    )


class ResourceProfile(Settings):
    """What one unit of a Model's resourceProfile (`NAME:COUNT`) is. Requests and limits are multiplied by COUNT."""

    image_name: OptionalText = Field(default=None, description="Which of the engine's images to take.")
    requests: dict[NonEmpty, Quantity] = Field(default_factory=dict, description="Resource -> quantity requested.")
    limits: dict[NonEmpty, Quantity] = Field(default_factory=dict, description="Resource -> quantity at most.")
    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must have.")
    affinity: Fragment | None = Field(default=None, description="core/v1 Affinity of the Pods.")
    tolerations: list[Fragment] = Field(default_factory=list, description="core/v1 Tolerations of the Pods.")
    scheduler_name: OptionalText = Field(default=None, description="Scheduler of the Pods.")
    runtime_class_name: OptionalName = Field(default=None, description="Runtime class of the Pods.")
    shared_memory_size: Quantity | None = Field(
        default=None, description="Upper bound of /dev/shm; it counts as memory. An addition of this project."
    )
    termination_grace_period_seconds: int | None = Field(
        default=None, ge=0, description="How long a server may take to stop. An addition of this project."
    )
    probes: Probes | None = Field(
        default=None, description="Timings of the servers' probes. An addition of this project."
    )
    template: PodTemplate | None = Field(
        default=None,
        description="A part of a Pod that is laid over the finished one, as a Model's own template, and before it. "
        "An addition of this project.",
    )


class SharedFilesystem(Settings):
    """A volume that many Pods can mount. At least one of storageClassName and persistentVolumeName is needed.

    An existing claim is never changed: edit it yourself, where its storage class lets it grow.
    """

    storage_class_name: OptionalName = Field(default=None, description="Storage class of the volume claim.")
    persistent_volume_name: OptionalName = Field(default=None, description="Volume that the claim is bound to.")
    size: Quantity = Field(default="10Gi", description="Storage that the claim asks for. An addition of this project.")
    access_modes: tuple[AccessMode, ...] = Field(
        default=("ReadWriteMany",),
        min_length=1,
        description="Access modes of the claim. ReadWriteOnce lets all Pods of its Models run on one node only. An "
        "addition of this project.",
    )
    annotations: dict[NonEmpty, str] = Field(
        default_factory=dict, description="Annotations of the claim. An addition of this project."
    )

    @model_validator(mode="after")
    def _names_a_volume(self) -> SharedFilesystem:
        if self.storage_class_name is None and self.persistent_volume_name is None:
            raise ValueError("needs storageClassName or persistentVolumeName")
        return self


class CacheProfile(Settings):
    """Where a Model's weights are cached."""

    shared_filesystem: SharedFilesystem = Field(description="A volume shared by all Models of the profile.")
    retain: bool = Field(
        default=False,
        description="Keep weights when their Model is deleted, for Models of the same source to come; those share one "
        "directory. An addition of this project.",
    )


class MessageStream(Settings):
    """One queue of requests and one of responses."""

    requests_url: NonEmpty = Field(alias="requestsURL", description="Where requests come from.")
    responses_url: NonEmpty = Field(alias="responsesURL", description="Where responses go.")
    max_handlers: int = Field(default=1, ge=1, description="Requests handled at a time.")


class Messaging(Settings):
    """Requests that come through message queues."""

    error_max_backoff_s: Seconds = Field(
        default=30.0, description="How far a stream slows down, at most, after errors in a row."
    )
    streams: tuple[MessageStream, ...] = Field(
        default=(), description="The streams. They are accepted and checked, but nothing is read from them yet."
    )


class ModelAutoscaling(Settings):
    """How the number of replicas follows the load."""

    interval_s: PositiveSeconds = Field(default=10.0, description="Time between two decisions.")
    time_window_s: PositiveSeconds = Field(default=600.0, description="How much of the past is averaged.")
    burst_window_s: PositiveSeconds | None = Field(
        default=None,
        description="How long a load must last to be followed at once instead of by the average; two intervals where "
        "nothing else is said. An addition of this project.",
    )
    burst_threshold_percent: int = Field(
        default=150,
        ge=100,
        description="How far that load must ask for more replicas than there are, in percent of them. An addition of "
        "this project.",
    )
    state_config_map_name: ObjectName = Field(description="ConfigMap that holds the averages over a restart.")

    @model_validator(mode="after")
    def _window_holds_an_interval(self) -> ModelAutoscaling:
        if self.time_window_s < self.interval_s:
            raise ValueError("timeWindow must not be shorter than interval")
        return self


class ModelServerPods(Settings):
    """What all Pods of model servers have in common."""

    service_account_name: OptionalName = Field(default=None, description="Service account of the Pods.")
    pod_security_context: Fragment | None = Field(default=None, description="core/v1 PodSecurityContext.")
    security_context: Fragment | None = Field(default=None, description="core/v1 SecurityContext of the containers.")
    image_pull_secrets: list[Fragment] = Field(
        default_factory=list, description="core/v1 LocalObjectReferences of pull secrets."
    )
    json_patches: list[JSONPatch] = Field(
        default_factory=list,
        description="RFC 6902 operations (op, path, value, from) that are applied to each finished Pod.",
    )


class ModelRollouts(Settings):
    """How Pods of an older configuration are replaced, and how Pods leave. A Model's own `rollout` comes first."""

    strategy: RolloutStrategy = Field(
        default="Surge",
        description="Surge replaces one Pod after the other; Recreate lets all Pods go before the first new one is "
        "made. An addition of this project.",
    )
    surge: int = Field(default=0, ge=0, description="How many Pods more than wanted may exist during a rollout.")
    drain_timeout_s: Seconds = Field(
        default=600.0,
        description="How long a Pod that is to go may finish its requests before it is deleted. An addition of this "
        "project.",
    )


class LeaderElection(Settings):
    """How one of several instances is chosen to reconcile and to scale."""

    lease_duration_s: PositiveSeconds = Field(
        default=15.0, description="How long others wait after the leader's last sign of life."
    )
    renew_deadline_s: PositiveSeconds = Field(
        default=10.0, description="How long the leader tries to renew before it steps down."
    )
    retry_period_s: PositiveSeconds = Field(default=2.0, description="Time between two attempts.")

    @model_validator(mode="after")
    def _leader_gives_up_first(self) -> LeaderElection:
        if not self.lease_duration_s > self.renew_deadline_s > self.retry_period_s:
            raise ValueError("leaseDuration must be longer than renewDeadline, and that longer than retryPeriod")
        return self


class CORSSettings(Settings):
    """Which web pages of other origins may use the API from a browser. An addition of this project."""

    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        description="Origins such as https://chat.example.com; * allows all. Without any, browsers let only pages of "
        "KubeAI's own origin in.",
    )
    max_age_s: Seconds = Field(
        default=600.0, description="How long a browser may remember what it was allowed, before it asks again."
    )


class GatewaySettings(Settings):
    """Bounds of the HTTP gateway: nothing waits or grows without an end (fault P7). An addition of this project."""

    max_body_bytes: int = Field(default=100 * 1024 * 1024, ge=1, description="Largest request body; more is 413.")
    max_queue: int = Field(
        default=1000,
        ge=1,
        alias="maxQueuedRequests",
        description="How many requests may wait for one Model; more are 429.",
    )
    wait_timeout_s: PositiveSeconds = Field(
        default=600.0, description="How long a request waits for a replica; then it is 503."
    )
    head_timeout_s: PositiveSeconds = Field(default=10.0, description="How long the head of a request may take.")
    body_timeout_s: PositiveSeconds = Field(
        default=60.0, description="How long a request's body may pause before it is 408."
    )
    idle_timeout_s: PositiveSeconds = Field(
        default=90.0, description="How long a connection may be idle between two requests."
    )
    access_log: bool | None = Field(
        default=None,
        description="Write a line of JSON for each request to standard output. Not set: on a cluster yes, with "
        "`kubeai up` no.",
    )
    drain_timeout_s: Seconds = Field(
        default=30.0, description="How long running requests may take to finish when KubeAI stops."
    )
    priority_header: bool = Field(
        default=False,
        description="Whether a request may say its own priority in the header X-KubeAI-Priority (-100 to 100); only "
        "for gateways whose callers trust each other. Without it the priority is the API key's.",
    )
    stream_heartbeat_s: Seconds = Field(
        default=0.0,
        description="How often a client that asked for a stream gets a comment while it has not begun, for example "
        "because the model starts; 0 is never. A request may say its own in X-KubeAI-Stream-Heartbeat, in seconds. "
        "From the first comment on an error is an event in the stream, because the status has been sent.",
    )
    cors: CORSSettings = Field(
        default_factory=CORSSettings, description="Which web pages of other origins may use the API."
    )


class TrustedProxy(Settings):
    """A proxy in front that has checked who asks, and says so in headers. An addition of this project."""

    networks: tuple[Network, ...] = Field(
        min_length=1,
        description="Addresses (CIDR) that the proxy connects from. From elsewhere the headers are ignored.",
    )
    user_header: HeaderName = Field(description="Header with the user's name. Requests that lack it need an API key.")
    selector_header: HeaderName | None = Field(
        default=None, description="Header with a label selector: the Models that the user may use. Without it: all."
    )
    priority_header: HeaderName | None = Field(
        default=None, description="Header with an integer: who has more goes first among those that wait."
    )


class Authentication(Settings):
    """Who may use the API. An addition of this project."""

    secret_name: OptionalName = Field(
        default="kubeai-api-keys",
        description="Secret with the API keys, as `kubeai keys` writes it. Empty: there are no keys.",
    )
    required: bool = Field(
        default=False,
        description="Refuse requests without a key even before the Secret exists. Once it exists a key is needed.",
    )
    trusted_proxy: TrustedProxy | None = Field(
        default=None, description="A proxy in front that names its users. With it, nobody comes in unnamed."
    )


class UsageSettings(Settings):
    """Counting of requests and tokens by key and model. An addition of this project."""

    enabled: bool = Field(
        default=True,
        description="Count tokens. Without it nothing limits them, and there is no usage to be asked for.",
    )
    interval_s: PositiveSeconds = Field(default=15.0, description="How often the counts are written to ConfigMaps.")


class System(Settings):
    """The whole of `system.yaml`."""

    secret_names: SecretNames = Field(default_factory=SecretNames, description="Secrets with credentials.")
    model_servers: dict[EngineName, ModelServer] = Field(
        default_factory=dict,
        validate_default=True,
        description="Engine -> its images. Engines that are not named have our default image.",
    )
    model_loading: ModelLoading = Field(default_factory=ModelLoading, description="How models are downloaded.")
    model_sources: ModelSources = Field(
        default_factory=ModelSources,
        description="Hubs and object stores of your own. An addition of this project.",
    )
    resource_profiles: dict[ProfileName, ResourceProfile] = Field(
        default_factory=dict, description="Profile -> what one unit of it is."
    )
    cache_profiles: dict[ObjectName, CacheProfile] = Field(
        default_factory=dict, description="Profile -> where weights are cached."
    )
    messaging: Messaging = Field(default_factory=Messaging, description="Requests through message queues.")
    watch_namespaces: tuple[ObjectName, ...] = Field(
        default=(),
        description="Namespaces whose Models are served beside those of KubeAI's own; requests call them "
        "NAMESPACE/NAME. An addition of this project.",
    )
    metrics_addr: ListenAddress = Field(default=":8080", description="Where /metrics is served; 0: nowhere.")
    health_address: ListenAddress = Field(
        default=":8081", description="Where /healthz and /readyz are served; 0: nowhere."
    )
    model_autoscaling: ModelAutoscaling = Field(description="How the number of replicas follows the load.")
    model_server_pods: ModelServerPods = Field(
        default_factory=ModelServerPods, description="What all Pods of model servers have in common."
    )
    model_rollouts: ModelRollouts = Field(default_factory=ModelRollouts, description="How Pods are replaced.")
    leader_election: LeaderElection = Field(default_factory=LeaderElection, description="How a leader is chosen.")
    allow_pod_address_override: bool = Field(
        default=False,
        description="Take a Pod's address from the Model's annotations model-pod-ip and model-pod-port.",
    )
    fixed_self_metric_addrs: tuple[Address, ...] = Field(
        default=(), description="Gateways to ask for active requests, instead of looking for their Pods."
    )
    gateway: GatewaySettings = Field(
        default_factory=GatewaySettings, description="Bounds of the HTTP gateway. An addition of this project."
    )
    authentication: Authentication = Field(
        default_factory=Authentication, description="Who may use the API. An addition of this project."
    )
    usage: UsageSettings = Field(
        default_factory=UsageSettings, description="Counting of requests and tokens. An addition of this project."
    )

    @field_validator("metrics_addr", "health_address", mode="before")
    @classmethod
    def _default_if_empty(cls, value: Any, info: ValidationInfo) -> Any:
        """The format's first implementation takes an empty address for none."""
        assert info.field_name is not None
        return cls.model_fields[info.field_name].default if value == "" else value

    @field_validator("model_servers", mode="after")
    @classmethod
    def _every_engine(cls, servers: dict[EngineName, ModelServer]) -> dict[EngineName, ModelServer]:
        defaults = {engine: ModelServer(images={"default": image}) for engine, image in DEFAULT_IMAGES.items()}
        return defaults | servers
