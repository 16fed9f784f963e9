"""Object stores, as the environment describes them: endpoint, region, certificates, and who we are.

The variables are those of the providers' own tools. Keys are one way to say who we are; where there are none, the
workload's identity is used (a web identity token, the agent of the container, the machine's metadata service).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubeai.api.modelurl import ModelURL

from .alibaba import role_credentials
from .amazon import profile_settings
from .errors import LoadError

_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL"),
    "oss": ("OSS_ENDPOINT",),
}
#: Where our own uploads, and other tools, keep the hash of an object among its metadata.
SHA256_ATTRIBUTE = "sha256"
_CA_FILES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How to reach one bucket, in obstore's words."""

    kind: str
    bucket: str
    config: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str | None = None
    ca_file: str | None = None


def store_settings(url: ModelURL, environ: Mapping[str, str]) -> StoreSettings:
    """Raises `LoadError` when something is missing that nobody can guess."""
    endpoint = next((environ[name] for name in _ENDPOINTS[url.scheme] if environ.get(name)), None)
    ca_file = next((environ[name] for name in _CA_FILES if environ.get(name)), None)
    match url.scheme:
        case "gs":
            return StoreSettings("gs", url.name, _google(endpoint, environ), endpoint, ca_file)
        case "oss":
            endpoint, config = _alibaba(url, endpoint, environ)
            return StoreSettings("s3", url.name, config, endpoint, ca_file)
        case _:
            config = dict[str, Any](profile_settings(environ))
            if "region" in url.params:
                config["region"] = url.params["region"]
            return StoreSettings("s3", url.name, config, endpoint, ca_file)


def _google(endpoint: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    if not endpoint:
        return {}
    # An emulator knows nobody; a proxy of the real service does.
    return {"base_url": endpoint} | ({"bearer_token": "emulator"} if environ.get("STORAGE_EMULATOR_HOST") else {})


def _alibaba(url: ModelURL, endpoint: str | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """OSS speaks S3's API under other host names, which begin with the bucket's name."""
    region = url.params.get("region") or environ.get("OSS_REGION")
    if not region and not endpoint:
        raise LoadError(f"{url.raw}: which region? set OSS_REGION (or OSS_ENDPOINT), or add ?region=cn-hangzhou")
    base = endpoint or f"https://s3.oss-{region}.aliyuncs.com"
    base = base if "://" in base else f"https://{base}"
    virtual = not _is_address(urlsplit(base).hostname or "")
    if virtual:
        scheme, _, host = base.partition("://")
        base = f"{scheme}://{url.name}.{host}"
    config = {
        # Both, because a variable meant for S3 would otherwise win.
        "endpoint": base,
        "aws_endpoint_url_s3": base,
        "region": region or "cn-hangzhou",
        "virtual_hosted_style_request": virtual,
        "disable_bulk_delete": True,
    }
    return base, config | _alibaba_identity(environ)


def _alibaba_identity(environ: Mapping[str, str]) -> dict[str, Any]:
    if environ.get("OSS_ACCESS_KEY_ID"):
        keys = {
            "access_key_id": environ["OSS_ACCESS_KEY_ID"],
            "secret_access_key": environ.get("OSS_ACCESS_KEY_SECRET", ""),
            "session_token": environ.get("OSS_SESSION_TOKEN"),
        }
        return {name: value for name, value in keys.items() if value is not None}
    return {} if environ.get("ALIBABA_CLOUD_ROLE_ARN") else {"skip_signature": True}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def open_store(url: ModelURL, environ: Mapping[str, str]) -> Any:
    """obstore's store of the url's bucket. Raises `LoadError`."""
    try:
        from obstore.store import GCSStore, S3Store
    except ImportError as error:
        raise LoadError(f"{url.raw}: obstore is missing: run `pip install 'kubeai[loader]'`") from error
    settings = store_settings(url, environ)
    options: dict[str, Any] = {
        "config": dict(settings.config),
        "client_options": _client_options(settings),
        # Enough for a hiccup; a server that is gone should be told of soon.
        "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
    }
    if url.scheme == "oss" and "ALIBABA_CLOUD_ROLE_ARN" in environ and "access_key_id" not in settings.config:
        options["credential_provider"] = lambda: role_credentials(environ)
    try:
        return (GCSStore if settings.kind == "gs" else S3Store)(settings.bucket, **options)
    except Exception as error:  # what is wrong with the settings, in any of several exceptions
        raise LoadError(f"{url.raw}: {str(error).strip().partition(chr(10))[0]}") from error


def _client_options(settings: StoreSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "connect_timeout": "10s",
        "read_timeout": "60s",
        # Of one request, which may carry a range over a slow line; silence is bounded above.
        "timeout": "30m",
        "allow_http": bool(settings.endpoint and settings.endpoint.startswith("http://")),
    }
    if settings.ca_file:
        try:
            options["root_certificate"] = Path(settings.ca_file).read_bytes()
        except OSError as error:
            raise LoadError(f"{settings.ca_file}: the certificates cannot be read: {error.strerror}") from error
    return options


def without_dangling(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without a Google key file that is not there: its Secret is optional, the variable is always set."""
    key_file = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    drop = {"GOOGLE_APPLICATION_CREDENTIALS"} if key_file and not Path(key_file).exists() else set()
    return {name: value for name, value in environ.items() if name not in drop}
