"""What stops the planner and only a person can mend: it becomes a condition, and waits for an edit."""

from __future__ import annotations

from kubeai.planning.reasons import Reason


class PlanningError(Exception):
    """The Model, or the system configuration that it names, cannot be followed. A retry does not help."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
