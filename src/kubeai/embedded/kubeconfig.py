"""The kubeconfig of the embedded cluster, for kubectl and all that read such files.

kubectl sends a user's token over TLS only, and there is no TLS on loopback. What it sends anywhere is whom to act as:
so the token stands there, as an attribute of that user. In the URL it would stand in the way of `kubectl exec`, whose
websockets take no URL with credentials, and would show up in messages. The file is for its owner's eyes only.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

_NAME = "kubeai"
TOKEN_ATTRIBUTE = "kubeai-token"
#: How that attribute is sent.
TOKEN_HEADER = f"Impersonate-Extra-{TOKEN_ATTRIBUTE}"


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    """Write the file (mode 0600), replacing an older one whole, so that no reader meets half of it."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": {"server": url}}],
        "users": [{"name": _NAME, "user": {"as": _NAME, "as-user-extra": {TOKEN_ATTRIBUTE: [token]}}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME, "namespace": "default"}}],
        "current-context": _NAME,
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
