"""Where weights come from, as parts of a Pod: volumes, mounts, credentials.

Every credential is an optional reference: public models need none, and a missing Secret must not keep a Pod from
starting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubeai.api.model import Model
from kubeai.api.modelurl import CACHEABLE_SCHEMES, ModelURL
from kubeai.config.system import SecretNames, System
from kubeai.planning.engines.spec import MODEL_DIRECTORY, Engine, Fetch, Weights
from kubeai.planning.errors import PlanningError
from kubeai.planning.names import cache_claim, cache_directory
from kubeai.planning.pods.additions import Additions
from kubeai.planning.pods.endpoints import endpoint
from kubeai.planning.profile import Resolved
from kubeai.planning.reasons import Reason

_GCP_DIRECTORY = "/secrets/gcp-credentials"
_GCP_FILE = "credentials.json"
_GCP_VOLUME = "gcp-credentials"

JSON = dict[str, Any]


def locate_weights(model: Model, resolved: Resolved) -> Weights:
    """Decide who brings the weights, and where the server finds them."""
    engine, source = resolved.engine, resolved.source
    if resolved.cache is not None and source.scheme in CACHEABLE_SCHEMES:
        if not engine.directories:
            raise PlanningError(
                Reason.UNSUPPORTED_SOURCE,
                f"spec.cacheProfile: engine {engine.name} keeps its models in a store of its own and cannot be served "
                "from a cache; leave cacheProfile out, or put its store on a claim and use pvc://.",
            )
        return Weights(Fetch.CACHE, cache_directory(model, resolved.cache.retain), _weights_file(engine, source))
    fetch = engine.sources.get(source.scheme)
    if fetch is None:
        known = ", ".join(f"{scheme}://" for scheme in sorted(engine.sources))
        raise PlanningError(
            Reason.UNSUPPORTED_SOURCE,
            f"spec.url: engine {engine.name} cannot be served from {source.scheme}://; it can from {known}.",
        )
    if fetch is Fetch.SERVER:
        return Weights(fetch)
    weights = Weights(fetch, MODEL_DIRECTORY, _weights_file(engine, source))
    if fetch is Fetch.IMAGE and (path := _directory(source, weights)):
        return replace(weights, directory=f"{MODEL_DIRECTORY}/{path}")
    return weights


def _weights_file(engine: Engine, source: ModelURL) -> str | None:
    """For engines that take one file: `?model=`, or the end of the url."""
    if engine.weights_suffix is None:
        return None
    file = source.model or source.path.rpartition("/")[2]
    if not file.endswith(engine.weights_suffix) or ".." in file.split("/"):
        raise PlanningError(
            Reason.INVALID_URL,
            f"spec.url: engine {engine.name} needs one {engine.weights_suffix} file: end the url with it, or name it "
            f"with ?model=FILE{engine.weights_suffix}.",
        )
    return file.lstrip("/")


def weights_volume(model: Model, weights: Weights, source: ModelURL) -> Additions:
    """The volume that holds the weights, mounted into the server."""
    match weights.fetch:
        case Fetch.SERVER:
            return Additions()
        case Fetch.CACHE:
            return _cache_volume(model, weights)
        case Fetch.CLAIM:
            return _claim_volume(source, weights)
        case Fetch.HOST:
            return _host_volume(source, weights)
        case Fetch.IMAGE:
            return _image_volume(source)
        case Fetch.LOADER:
            mount = {"name": "model", "mountPath": MODEL_DIRECTORY, "readOnly": True}
            return Additions(volumes=({"name": "model", "emptyDir": {}},), mounts=(mount,))


def _cache_volume(model: Model, weights: Weights) -> Additions:
    directory = weights.directory or ""
    claim = {"claimName": cache_claim(model.spec.cache_profile or "")}
    mount = {"name": "models", "mountPath": directory, "subPath": directory.lstrip("/"), "readOnly": True}
    return Additions(volumes=({"name": "models", "persistentVolumeClaim": claim},), mounts=(mount,))


def _claim_volume(source: ModelURL, weights: Weights) -> Additions:
    mount = {"name": "model", "mountPath": MODEL_DIRECTORY}
    # A sub path is relative; the weights' own directory is mounted when the url names a file.
    if path := _directory(source, weights).strip("/"):
        mount["subPath"] = path
    return Additions(volumes=({"name": "model", "persistentVolumeClaim": {"claimName": source.name}},), mounts=(mount,))


def _host_volume(source: ModelURL, weights: Weights) -> Additions:
    volume = {"name": "model", "hostPath": {"path": _directory(source, weights) or "/"}}
    mount = {"name": "model", "mountPath": MODEL_DIRECTORY, "readOnly": True}
    return Additions(volumes=(volume,), mounts=(mount,))


def _image_volume(source: ModelURL) -> Additions:
    """The kubelet pulls it like any image, with the Pod's pull secrets.

    It is mounted as a whole, and the server told the path in it: containerd before 2.2 takes no notice of a sub path.
    """
    image: JSON = {"reference": source.name} | ({} if source.pull else {"pullPolicy": "Never"})
    mount: JSON = {"name": "model", "mountPath": MODEL_DIRECTORY, "readOnly": True}
    return Additions(volumes=({"name": "model", "image": image},), mounts=(mount,))


def _directory(source: ModelURL, weights: Weights) -> str:
    names_file = weights.file is not None and source.model is None
    return source.path.rpartition("/")[0] if names_file else source.path


def access(scheme: str, system: System, own_env: Mapping[str, str] | None = None) -> Additions:
    """What reaching one kind of source takes: its credentials, and its endpoint where that is not the usual one.

    `own_env` is the Model's: what it says of an endpoint wins, and only there.
    """
    return _credentials(scheme, system.secret_names) + endpoint(scheme, system, own_env or {})


def access_to_all(system: System, own_env: Mapping[str, str] | None = None) -> Additions:
    """For the loader of adapters: they may come from anywhere, and change without a new Pod."""
    additions = Additions()
    for scheme in ("hf", "gs", "oss", "s3"):
        additions += access(scheme, system, own_env)
    return additions


def _credentials(scheme: str, secrets: SecretNames) -> Additions:
    match scheme:
        case "hf":
            return Additions(env=(_secret_env("HF_TOKEN", secrets.huggingface, "token"),))
        case "s3":
            return Additions(
                env=(
                    _secret_env("AWS_ACCESS_KEY_ID", secrets.aws, "accessKeyID"),
                    _secret_env("AWS_SECRET_ACCESS_KEY", secrets.aws, "secretAccessKey"),
                )
            )
        case "oss":
            return Additions(
                env=(
                    _secret_env("OSS_ACCESS_KEY_ID", secrets.alibaba, "accessKeyID"),
                    _secret_env("OSS_ACCESS_KEY_SECRET", secrets.alibaba, "accessKeySecret"),
                )
            )
        case "gs":
            return _gcp_credentials(secrets.gcp)
        case _:
            return Additions()


def _secret_env(name: str, secret: str, key: str) -> JSON:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}}}


def _gcp_credentials(secret: str) -> Additions:
    """Google's libraries want a file."""
    volume = {
        "name": _GCP_VOLUME,
        "secret": {
            "secretName": secret,
            "items": [{"key": "jsonKeyfile", "path": _GCP_FILE}],
            "defaultMode": 0o644,
            "optional": True,
        },
    }
    return Additions(
        env=({"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": f"{_GCP_DIRECTORY}/{_GCP_FILE}"},),
        volumes=(volume,),
        mounts=({"name": _GCP_VOLUME, "mountPath": _GCP_DIRECTORY},),
    )
