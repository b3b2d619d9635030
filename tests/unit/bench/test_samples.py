from __future__ import annotations

import pytest

from bench.samples import Samples, total


def test_the_median_is_the_middle_or_between_the_middle_two() -> None:
    assert Samples((9.0, 1.0, 2.0)).median == 2.0
    assert Samples((4.0, 1.0, 2.0, 9.0)).median == 3.0


def test_a_tail_needs_twenty_values() -> None:
    assert Samples(tuple(float(n) for n in range(19))).p95 is None
    assert Samples(tuple(float(n) for n in range(20, 0, -1))).p95 == 19.0
    assert Samples(tuple(float(n) for n in range(1, 101))).p95 == 95.0


def test_the_order_is_kept_and_the_ends_are_told() -> None:
    samples = Samples((3.0, 1.0, 2.0))
    assert (samples.values, samples.least, samples.greatest) == ((3.0, 1.0, 2.0), 1.0, 3.0)


def test_another_unit() -> None:
    assert Samples((0.5, 0.25)).times(1000.0) == Samples((500.0, 250.0))


def test_nothing_is_no_sample() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Samples(())


def test_parts_of_the_same_round_are_added() -> None:
    assert total([Samples((1.0, 2.0)), Samples((10.0, 20.0))]) == Samples((11.0, 22.0))
    with pytest.raises(ValueError, match="shorter"):
        total([Samples((1.0, 2.0)), Samples((10.0,))])
