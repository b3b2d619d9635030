"""The tour, as `make run` plays it: every figure of its answer comes from the data."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from runtime.client import Interaction
from tests.support.sandlot import RunningController, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

DATA = Path(__file__).parents[2] / "agents" / "data" / "penguins" / "penguins.csv"
TARGET = "/workspace/data/penguins/penguins.csv"


def tour(sandlot: RunningController, table: str | None = None) -> Interaction:
    files = [{"type": "inline", "target": TARGET, "content": table}] if table else []
    return sandlot.client.interactions.create(
        agent="tour", input="Go.", environment={"type": "remote", "sources": files}
    )


def mirrored(text: str) -> str:
    """The data with every bill depth mirrored, and without the first fifty birds."""
    rows = list(csv.DictReader(io.StringIO(text)))[50:]
    for row in rows:
        if row["bill_depth_mm"] != "NA":
            row["bill_depth_mm"] = f"{40 - float(row['bill_depth_mm']):.1f}"
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_the_tour_answers_from_the_data(sandlot: RunningController) -> None:
    run = tour(sandlot)
    assert run.status == "completed", run
    assert "Over all 342 measured birds (of 344)" in run.output_text
    assert "Chinstrap +0.65, Gentoo +0.64, Adelie +0.39" in run.output_text
    assert any("agrees=True" in result for result in results(run))


def test_other_data_is_another_answer(sandlot: RunningController) -> None:
    run = tour(sandlot, mirrored(DATA.read_text(encoding="utf-8")))
    assert run.status == "completed", run
    assert "(of 294)" in run.output_text
    overall = re.search(r"is \*\*([-+][\d.]+)\*\*; within", run.output_text)
    assert overall is not None and float(overall[1]) > 0
    assert "Chinstrap -0.65" in run.output_text


def test_without_the_column_it_fails_and_says_so(sandlot: RunningController) -> None:
    run = tour(sandlot, DATA.read_text(encoding="utf-8").replace("bill_depth_mm", "depth"))
    assert run.status == "failed"
    assert "KeyError" in str(run.error)
