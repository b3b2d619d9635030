from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.security.catalogue import (
    CATALOGUE,
    CONTROLS,
    LEFT_OUT,
    ON_GVISOR,
    WITHOUT_CONTROL,
)

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
_CASE = re.compile(r"test_([enxfa])(\d\d)_")
_NAMED = re.compile(r"\btests/[\w/]+\.py")


def names_of_tests() -> list[str]:
    return [
        node.name
        for path in FOLDER.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]


def tried() -> set[str]:
    found = (_CASE.match(name) for name in names_of_tests())
    return {f"{match[1].upper()}-{match[2]}" for match in found if match}


def test_every_case_is_tried_or_left_out_with_a_reason() -> None:
    assert tried() | set(LEFT_OUT) == set(CATALOGUE)
    assert tried() & set(LEFT_OUT) == set()
    assert all(len(reason) > 10 for reason in LEFT_OUT.values())


def test_what_the_reasons_point_to_is_there() -> None:
    named = {path for reason in LEFT_OUT.values() for path in _NAMED.findall(reason)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_exhaustion_has_controls_or_a_reason() -> None:
    cases = {case for case in tried() if case.startswith("X-")}
    assert set(CONTROLS) | set(WITHOUT_CONTROL) == cases
    assert set(CONTROLS) & set(WITHOUT_CONTROL) == set()
    for case, name in CONTROLS.items():
        assert name in names_of_tests() and name.startswith(
            f"test_{case.lower().replace('-', '')}_"
        )


def test_what_differs_on_gvisor_is_tried_and_documented() -> None:
    document = (ROOT / "docs/security.md").read_text("utf-8")
    for name in ON_GVISOR:
        assert name.partition("[")[0] in names_of_tests()
        match = _CASE.match(name)
        assert match and f"| {match[1].upper()}-{match[2]} |" in document
