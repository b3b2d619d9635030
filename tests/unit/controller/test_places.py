from __future__ import annotations

import pytest

from runtime.controller.places import Free, Places, Step, Taken


def live(*projects: str, idle: dict[int, float] | None = None) -> list[Taken]:
    return [Taken(f"env{at}", one, (idle or {}).get(at)) for at, one in enumerate(projects)]


def step(
    waiting: str,
    index: int = 0,
    *,
    taken: list[Taken] | None = None,
    starting: str = "",
    total: int = 3,
    shares: dict[str, int] | None = None,
) -> Step:
    shared = (shares or {}).get
    return Places(total, taken or [], [*starting], [*waiting], shared).step(index)


def test_a_free_place_is_taken() -> None:
    assert step("a") == "take"
    assert step("a", taken=live("b", "b")) == "take"


def test_no_more_than_all_places_are_taken() -> None:
    assert step("a", taken=live("b", "b", "b")) == "wait"
    assert step("a", taken=live("b"), starting="bb") == "wait"


def test_the_sandbox_that_idled_longest_makes_room() -> None:
    taken = live("b", "b", "b", idle={0: 7.0, 2: 5.0})
    assert step("a", taken=taken) == Free("env2")


def test_a_project_with_its_share_waits_although_there_is_room() -> None:
    assert step("a", taken=live("a"), shares={"a": 1}) == "wait"
    assert step("a", starting="a", shares={"a": 1}) == "wait"
    assert step("ab", 1, taken=live("a"), shares={"a": 1}) == "take", "it holds nobody up"


def test_a_project_with_its_share_makes_room_for_itself() -> None:
    taken = live("b", "a", idle={0: 1.0, 1: 2.0})
    assert step("a", taken=taken, shares={"a": 1}) == Free("env1")


@pytest.mark.parametrize(
    ("waiting", "taken", "first"),
    [("ab", "", 0), ("ab", "a", 1), ("aab", "aab", 2), ("aab", "aa", 2), ("aba", "b", 0)],
)
def test_it_is_the_turn_of_who_has_least_and_came_first(
    waiting: str, taken: str, first: int
) -> None:
    steps = [step(waiting, at, taken=live(*taken), total=9) for at in range(len(waiting))]
    assert steps == ["take" if at == first else "wait" for at in range(len(waiting))]
