"""Alibaba Cloud's workload identity: a Pod's OIDC token for a role's keys (RRSA)."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from .errors import LoadError

_TIMEOUT_S = 30


def role_credentials(environ: Mapping[str, str]) -> dict[str, Any]:
    """Keys of the role in `ALIBABA_CLOUD_ROLE_ARN`, in the form that obstore asks for. Raises `LoadError`."""
    base = environ.get("ALIBABA_CLOUD_STS_ENDPOINT", "sts.aliyuncs.com")
    base = base if "://" in base else f"https://{base}"
    try:
        token = Path(environ["ALIBABA_CLOUD_OIDC_TOKEN_FILE"]).read_text("utf-8").strip()
        body = {
            "Action": "AssumeRoleWithOIDC",
            "Version": "2015-04-01",
            "Format": "JSON",
            "RoleArn": environ["ALIBABA_CLOUD_ROLE_ARN"],
            "OIDCProviderArn": environ["ALIBABA_CLOUD_OIDC_PROVIDER_ARN"],
            "OIDCToken": token,
            "RoleSessionName": "kubeai-loader",
        }
        with urllib.request.urlopen(base, urlencode(body).encode(), timeout=_TIMEOUT_S) as answer:
            keys = json.loads(answer.read())["Credentials"]
    except (OSError, KeyError, ValueError) as error:
        raise LoadError(f"the role of Alibaba Cloud cannot be taken: {error}") from error
    return {
        "access_key_id": keys["AccessKeyId"],
        "secret_access_key": keys["AccessKeySecret"],
        "token": keys["SecurityToken"],
        "expires_at": datetime.fromisoformat(keys["Expiration"]),
    }
