"""Files that are read in a sitting, functions that fit a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_CLASS_LINES = 300


def sources() -> list[Path]:
    return [path for folder in ("runtime", "bench") for path in (ROOT / folder).rglob("*.py")]


def definitions(path: Path) -> Iterator[tuple[str, int, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            # A signature may be long: a command declares its options there.
            lines = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
            limit = MAX_CLASS_LINES if isinstance(node, ast.ClassDef) else MAX_FUNCTION_LINES
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines, limit


def test_there_is_something_to_check() -> None:
    assert len(sources()) > 100


def test_files_are_read_in_a_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    long = [f"{path.relative_to(ROOT)}: {n}" for path, n in lengths.items() if n > MAX_FILE_LINES]
    assert long == []


def test_functions_fit_a_screen() -> None:
    found = [one for path in sources() for one in definitions(path)]
    assert [f"{name}: {lines} lines" for name, lines, limit in found if lines > limit] == []
