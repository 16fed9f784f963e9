"""Bounds of the HTTP door that nobody needs to configure; the others are `config.system.GatewaySettings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    max_head_bytes: int = 32 * 1024
    #: Bytes that may arrive while a request is served, before the connection is not read any more.
    max_pending_bytes: int = 64 * 1024
    #: How long a client may read nothing of its answer.
    send_timeout_s: float = 60.0
    #: How long, and how much, a refused client may go on sending, so that it gets to read the refusal.
    linger_timeout_s: float = 2.0
    max_linger_bytes: int = 4 * 1024 * 1024
    #: How long an engine may be silent.
    silence_timeout_s: float = 600.0
    #: How often time-outs are looked at.
    sweep_interval_s: float = 0.5
