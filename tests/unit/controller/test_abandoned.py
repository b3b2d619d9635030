from __future__ import annotations

from runtime.controller import abandoned
from runtime.controller.abandoned import Abandoned


def test_an_answer_is_owed_once() -> None:
    kept = Abandoned()
    kept.leave("a", "int_1")
    assert kept.take("b") is None
    assert kept.take("a") == "int_1"
    assert kept.take("a") is None


def test_only_so_many_are_kept() -> None:
    kept = Abandoned()
    for number in range(abandoned.MAX_KEPT + 1):
        kept.leave(str(number), f"int_{number}")
    assert kept.take("0") is None
    assert kept.take("1") == "int_1"
