"""A figure: what was measured, its floor, its target, and whether it was met. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.samples import Samples

Basis = Literal["ratio", "excess", "value"]
"""What a target limits: measured / floor, measured - floor, or the measured value alone."""
Verdict = Literal["ok", "over", "under"]


@dataclass(frozen=True, slots=True)
class Target:
    """A limit; `at_least` where more is better."""

    basis: Basis
    limit: float
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Floor:
    """What the same work takes without Sandlot, in the unit of its figure."""

    what: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. Medians are compared."""

    name: str
    what: str
    unit: str
    measured: Samples
    target: Target
    floor: Floor | None = None
    details: Mapping[str, float] = field(default_factory=dict[str, float])
    """What explains the figure, by name; the unit is in the name."""

    def __post_init__(self) -> None:
        if self.floor is None and self.target.basis != "value":
            raise ValueError(f"{self.name}: a target of a {self.target.basis} needs a floor.")

    @property
    def ratio(self) -> float | None:
        """Measured / floor; None without a floor, or with one of zero."""
        if self.floor is None or self.floor.samples.median == 0:
            return None
        return self.measured.median / self.floor.samples.median

    @property
    def excess(self) -> float | None:
        """Measured - floor; None without a floor."""
        return None if self.floor is None else self.measured.median - self.floor.samples.median

    @property
    def compared(self) -> float:
        """What the target limits. Raises `ValueError` for a ratio to a floor of zero."""
        found = {"ratio": self.ratio, "excess": self.excess, "value": self.measured.median}
        value = found[self.target.basis]
        if value is None:
            raise ValueError(f"{self.name}: the floor is zero.")
        return value

    @property
    def verdict(self) -> Verdict:
        """Whether the target is met."""
        if self.target.at_least:
            return "ok" if self.compared >= self.target.limit else "under"
        return "ok" if self.compared <= self.target.limit else "over"


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that could not be measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of one run."""

    machine: Mapping[str, str | int | float]
    started: str
    quick: bool
    figures: tuple[Figure, ...]
    missing: tuple[Missing, ...] = ()

    @property
    def all_met(self) -> bool:
        """Whether everything was measured and every target met."""
        return not self.missing and all(figure.verdict == "ok" for figure in self.figures)
