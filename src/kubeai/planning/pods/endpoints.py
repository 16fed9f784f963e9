"""Stores that are not where the provider's own are: another endpoint, a region, certificates of another authority.

They are told in the variables of the providers' own tools, which the loader and the engines understand alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubeai.config.system import ModelSource, System
from kubeai.planning.pods.additions import JSON, Additions

_CA_ROOT = "/etc/kubeai/certificates"


@dataclass(frozen=True, slots=True)
class _Variables:
    endpoint: str
    region: str | None
    #: The first is what the provider's tools read, others what Python's HTTP libraries do.
    ca_file: tuple[str, ...]


_VARIABLES: Mapping[str, _Variables] = {
    "hf": _Variables("HF_ENDPOINT", None, ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")),
    "s3": _Variables("AWS_ENDPOINT_URL", "AWS_REGION", ("AWS_CA_BUNDLE",)),
    "gs": _Variables("GOOGLE_BASE_URL", None, ("SSL_CERT_FILE",)),
    "oss": _Variables("OSS_ENDPOINT", "OSS_REGION", ("SSL_CERT_FILE",)),
}


def endpoint(scheme: str, system: System, own_env: Mapping[str, str]) -> Additions:
    """Nothing, where the configuration says nothing of the source."""
    names, source = _VARIABLES.get(scheme), system.model_sources.of(scheme)
    if names is None or source is None:
        return Additions()
    values = _values(names, source, f"{_CA_ROOT}/{scheme}")
    env = tuple({"name": name, "value": value} for name, value in values.items() if name not in own_env)
    return Additions(env=env) + _certificates(scheme, source)


def _values(names: _Variables, source: ModelSource, ca_directory: str) -> dict[str, str]:
    values: dict[str, str] = {}
    if source.endpoint:
        values[names.endpoint] = source.endpoint
    if source.region and names.region:
        values[names.region] = source.region
    if source.ca_config_map:
        values |= dict.fromkeys(names.ca_file, f"{ca_directory}/{source.ca_config_map.key}")
    return values | source.env


def _certificates(scheme: str, source: ModelSource) -> Additions:
    if source.ca_config_map is None:
        return Additions()
    name = f"{scheme}-certificates"
    volume: JSON = {"name": name, "configMap": {"name": source.ca_config_map.name, "defaultMode": 0o644}}
    mount: JSON = {"name": name, "mountPath": f"{_CA_ROOT}/{scheme}", "readOnly": True}
    return Additions(volumes=(volume,), mounts=(mount,))
