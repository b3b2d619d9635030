"""The tests of the acceptance cases: Python's register themselves, JavaScript's are read."""

from __future__ import annotations

import importlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.contract.acceptance.manifest import JAVASCRIPT, PYTHON, Proof

if TYPE_CHECKING:
    from tests.contract.acceptance.world import World

HERE = Path(__file__).parent
Run = Callable[["World"], Awaitable[None]]
_RUNS: dict[Proof, Run] = {}
_ACCEPTANCE = re.compile(r'^acceptance\(\[([\d, ]+)\], "([^"]+)",', re.MULTILINE)


def acceptance(*cases: int, kinds: tuple[str, ...] = PYTHON) -> Callable[[Run], Run]:
    """Mark a function as the test of `cases`, for the `kinds` of client that it is run with."""

    def register(run: Run) -> Run:
        _RUNS[Proof(run.__name__, cases, kinds)] = run
        return run

    return register


def python_tests() -> dict[Proof, Run]:
    """Every test in the modules `cases_*` of this folder."""
    for path in sorted(HERE.glob("cases_*.py")):
        importlib.import_module(f"{__package__}.{path.stem}")
    return _RUNS


def javascript_tests() -> list[Proof]:
    """Every test in JavaScript, found without running it."""
    return [
        Proof(name, tuple(int(number) for number in numbers.split(",")), (JAVASCRIPT,))
        for path in sorted((HERE / "javascript").glob("cases_*.mjs"))
        for numbers, name in _ACCEPTANCE.findall(path.read_text(encoding="utf-8"))
    ]


def all_tests() -> list[Proof]:
    """The tests of all languages."""
    return [*python_tests(), *javascript_tests()]
