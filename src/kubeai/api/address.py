"""How requests, metrics and the autoscaler's state name a Model where several namespaces are served.

A Model of KubeAI's own namespace has its plain name, one of another namespace is `NAMESPACE/NAME`. Neither depends on
what else there is, so that a name never changes its meaning. There is one name for each Model, because the autoscaler
sums up requests by it.
"""

from __future__ import annotations


def address(namespace: str, name: str, home: str | None) -> str:
    """`home` is KubeAI's own namespace; None if there is no other one."""
    return name if home is None or namespace == home else f"{namespace}/{name}"
