"""The words that the operator uses to say why a Model is as it is.

They are a contract: conditions, Events and the gateway's 503 carry them, and people alert on them. A word that is
here once keeps its meaning.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why, as one word for programs. The comment says what a person should do about it."""

    # All is well.
    READY = "Ready"
    COMPLETE = "Complete"  # what runs is what is wanted
    SCHEDULED = "Scheduled"
    SCALED_TO_ZERO = "ScaledToZero"  # send a request, or set minReplicas

    # Wait: it goes on by itself.
    CREATING = "Creating"
    WAITING_FOR_NODE = "WaitingForNode"
    STARTING = "Starting"
    INSTALLING_ENGINE = "InstallingEngine"
    DOWNLOADING = "Downloading"
    SCALING = "Scaling"
    ROLLING_OUT = "RollingOut"
    DRAINING = "Draining"
    CACHE_LOADING = "CacheLoading"
    CACHE_LOADED = "CacheLoaded"
    ADAPTERS_LOADING = "AdaptersLoading"
    ADAPTERS_LOADED = "AdaptersLoaded"
    TERMINATING = "Terminating"

    # Edit the Model, or the system configuration that it names.
    UNKNOWN_RESOURCE_PROFILE = "UnknownResourceProfile"
    INVALID_RESOURCE_PROFILE = "InvalidResourceProfile"
    UNKNOWN_CACHE_PROFILE = "UnknownCacheProfile"
    INVALID_URL = "InvalidURL"
    UNSUPPORTED_SOURCE = "UnsupportedSource"
    UNKNOWN_ENGINE = "UnknownEngine"
    INVALID_PATCH = "InvalidPatch"
    INVALID_POD_TEMPLATE = "InvalidPodTemplate"

    # Look at the cluster, the image, the server's logs.
    NAME_CONFLICT = "NameConflict"
    REFUSED = "Refused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    ADMISSION_DENIED = "AdmissionDenied"
    INVALID_OBJECT = "InvalidObject"
    FEATURE_DISABLED = "FeatureDisabled"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    ENGINE_MISSING = "EngineMissing"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    DOWNLOAD_FAILED = "DownloadFailed"
    CRASH_LOOP = "CrashLoop"
    POD_FAILED = "PodFailed"
    CACHE_LOAD_FAILED = "CacheLoadFailed"
    CACHE_EVICTION_FAILED = "CacheEvictionFailed"
    ADAPTER_LOAD_FAILED = "AdapterLoadFailed"


#: What somebody has to mend; shown as Warning events.
TROUBLE = frozenset(list(Reason)[list(Reason).index(Reason.UNKNOWN_RESOURCE_PROFILE) :])
