"""A simple moving average as a value.

The average is taken anew from the samples each time: a running sum would keep a rest of rounding errors, and a Model
whose average never becomes exactly zero never scales to zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """The last samples, the oldest first; there is always at least one."""

    samples: tuple[float, ...]

    @classmethod
    def filled(cls, size: int, value: float = 0.0) -> Window:
        return cls((value,) * size)

    def record(self, value: float) -> Window:
        return Window((*self.samples[1:], value))

    @property
    def average(self) -> float:
        return math.fsum(self.samples) / len(self.samples)

    def sustained(self, intervals: int) -> float:
        """The load that was there in each of the last intervals."""
        return min(self.samples[-intervals:])

    def resized(self, size: int) -> Window:
        """With the last `size` samples. Of a past that was not recorded the average is assumed, so that it stays."""
        missing = size - len(self.samples)
        if missing <= 0:
            return self if missing == 0 else Window(self.samples[-size:])
        return Window((*(self.average,) * missing, *self.samples))


def window_size(time_window_s: float, interval_s: float) -> int:
    """How many samples a window of this length holds."""
    return max(1, whole_intervals(time_window_s, interval_s))


def whole_intervals(duration_s: float, interval_s: float) -> int:
    """How many intervals it takes until the duration has passed, in spite of fractions that floats cannot hold."""
    return math.ceil(duration_s / interval_s - 1e-9)
