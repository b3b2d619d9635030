"""Measured values of one thing and what is said of them. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

TAIL_SAMPLES = 20
"""A 95th percentile of fewer values says nothing that the greatest does not."""


@dataclass(frozen=True, slots=True)
class Samples:
    """One or more values of one kind and unit, in the order in which they were measured."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("Samples need at least one value.")

    @property
    def median(self) -> float:
        """The middle value, or the mean of the two middle ones."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float | None:
        """The smallest value that 95 % of all do not exceed; None for few values."""
        if len(self.values) < TAIL_SAMPLES:
            return None
        return sorted(self.values)[math.ceil(0.95 * len(self.values)) - 1]

    @property
    def least(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def greatest(self) -> float:
        """The greatest value."""
        return max(self.values)

    def times(self, factor: float) -> Samples:
        """The same values in another unit."""
        return Samples(tuple(value * factor for value in self.values))


def total(parts: list[Samples]) -> Samples:
    """The sums of what was measured in the same round. Raises `ValueError` for unequal lengths."""
    rounds = zip(*(part.values for part in parts), strict=True)
    return Samples(tuple(sum(values) for values in rounds))
