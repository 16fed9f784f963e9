"""What Amazon's own tools have been told on this machine: the profile in `~/.aws`.

obstore reads variables and the identities of workloads, but no files. Only keys and regions are read; who signs in by a
browser exports the session's variables first (`aws configure export-credentials --format env`).
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

#: Set where a workload has an identity or keys already: then files count for nothing.
_KNOWN = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


def profile_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Keys and region of the profile, in obstore's words; empty where the environment says who we are."""
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    found: dict[str, str] = {}
    if not any(environ.get(name) for name in _KNOWN):
        keys = _section(environ, "AWS_SHARED_CREDENTIALS_FILE", "credentials", profile)
        found |= {ours: keys[theirs] for theirs, ours in _KEYS.items() if keys.get(theirs)}
    if not environ.get("AWS_REGION") and not environ.get("AWS_DEFAULT_REGION"):
        name = profile if profile == "default" else f"profile {profile}"
        if region := _section(environ, "AWS_CONFIG_FILE", "config", name).get("region"):
            found["region"] = region
    return found


def _section(environ: Mapping[str, str], variable: str, name: str, section: str) -> Mapping[str, str]:
    path = Path(environ.get(variable) or Path(environ.get("HOME", "/")) / ".aws" / name)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, "utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}  # somebody else's file in another form; the error of access will say what is missing
    return parser[section] if parser.has_section(section) else {}
