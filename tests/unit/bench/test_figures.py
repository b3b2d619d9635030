from __future__ import annotations

import pytest

from bench.figures import Figure, Floor, Missing, Report, Target
from bench.samples import Samples


def figure(measured: float, target: Target, floor: float | None = None) -> Figure:
    kept = None if floor is None else Floor("bare", Samples((floor,)))
    return Figure("it", "what it is", "s", Samples((measured,)), target, kept)


@pytest.mark.parametrize(
    ("measured", "target", "floor", "compared", "verdict"),
    [
        (1.3, Target("ratio", 1.3), 1.0, 1.3, "ok"),
        (1.5, Target("ratio", 1.3), 1.0, 1.5, "over"),
        (8.0, Target("excess", 3.0), 5.0, 3.0, "ok"),
        (8.5, Target("excess", 3.0), 5.0, 3.5, "over"),
        (4.0, Target("excess", 3.0), 5.0, -1.0, "ok"),
        (90.0, Target("value", 90.0), 1.0, 90.0, "ok"),
        (91.0, Target("value", 90.0), None, 91.0, "over"),
        (250.0, Target("value", 200.0, at_least=True), None, 250.0, "ok"),
        (150.0, Target("value", 200.0, at_least=True), 900.0, 150.0, "under"),
    ],
)
def test_a_target_limits_ratio_difference_or_value(
    measured: float, target: Target, floor: float | None, compared: float, verdict: str
) -> None:
    found = figure(measured, target, floor)
    assert found.compared == pytest.approx(compared)
    assert found.verdict == verdict


def test_medians_are_compared() -> None:
    floor = Floor("bare", Samples((1.0, 2.0, 90.0)))
    target = Target("ratio", 1.5)
    found = Figure("it", "what", "s", Samples((50.0, 3.0, 0.1)), target, floor)
    assert (found.ratio, found.excess, found.verdict) == (1.5, 1.0, "ok")


def test_a_target_beside_a_floor_needs_one() -> None:
    with pytest.raises(ValueError, match="it: a target of a ratio needs a floor"):
        figure(1.0, Target("ratio", 1.3))


def test_a_floor_of_zero_has_no_ratio() -> None:
    assert figure(1.0, Target("value", 2.0), 0.0).ratio is None
    with pytest.raises(ValueError, match="zero"):
        _ = figure(1.0, Target("ratio", 2.0), 0.0).compared


def test_all_is_met_when_every_figure_is_there_and_ok() -> None:
    met, missed = figure(1.0, Target("value", 2.0)), figure(3.0, Target("value", 2.0))

    def report(*figures: Figure, missing: tuple[Missing, ...] = ()) -> Report:
        return Report({}, "2026-01-31T12:00:00Z", False, figures, missing)

    assert report(met).all_met
    assert not report(met, missed).all_met
    assert not report(met, missing=(Missing("other", "no Docker"),)).all_met
