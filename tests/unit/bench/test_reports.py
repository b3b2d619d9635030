from __future__ import annotations

import json

import pytest

from bench.document import encode
from bench.figures import Figure, Floor, Missing, Report, Target
from bench.samples import Samples
from bench.table import number, render

COLD = Figure(
    name="cold",
    what="a new interaction",
    unit="s",
    measured=Samples((1.2, 1.1, 1.0)),
    target=Target("ratio", 1.3),
    floor=Floor("docker run and a kernel", Samples((1.0, 1.0, 1.0))),
    details={"docker run s": 0.25},
)
CELL = Figure(
    name="cell",
    what="one cell",
    unit="ms",
    measured=Samples(tuple(float(n) for n in range(1, 21))),
    target=Target("excess", 3.0),
    floor=Floor("jupyter_client", Samples((12.0,))),
)
UPLOAD = Figure(
    name="upload",
    what="a file",
    unit="MiB/s",
    measured=Samples((150.0,)),
    target=Target("value", 200.0, at_least=True),
)
REPORT = Report(
    machine={"CPUs": 2},
    started="2026-01-31T12:00:00Z",
    quick=True,
    figures=(COLD, CELL, UPLOAD),
    missing=(Missing("tour", "there is no script"),),
)


def test_the_table_has_a_line_for_each_figure() -> None:
    lines = render(REPORT).splitlines()
    assert lines[0] == "CPUs 2 (quick: few rounds)"
    cells = {line.split()[0]: line.split() for line in lines[3:6]}
    assert " ".join(cells["cold"]) == "cold 1.1 s 1 s 1.10 x +0.1 s ≤ 1.30 x floor ok"
    assert " ".join(cells["cell"]) == ("cell 10.5 ms 19 ms 12 ms 0.88 x -1.5 ms ≤ floor + 3 ms ok")
    assert " ".join(cells["upload"]) == "upload 150 MiB/s ≥ 200 MiB/s under"


def test_columns_stand_below_each_other() -> None:
    lines = render(REPORT).splitlines()[2:6]
    ends = {line.rstrip("okunder").rstrip().__len__() for line in lines[1:]}
    assert len(ends) == 1, lines
    assert lines[0].index("target") + len("target") == ends.pop()


def test_below_the_table_everything_is_explained() -> None:
    text = render(REPORT)
    assert "cold: a new interaction\n    floor: docker run and a kernel\n" in text
    assert "    docker run s 0.25\n" in text
    assert text.endswith("tour: not measured: there is no script\n")


def test_the_document_holds_every_value() -> None:
    found = json.loads(encode(REPORT))
    assert (found["version"], found["quick"], found["all_met"]) == (1, True, False)
    assert found["machine"] == {"CPUs": 2}
    assert found["missing"] == [{"name": "tour", "reason": "there is no script"}]
    cold, cell, upload = found["figures"]
    assert cold["measured"] == {
        "median": 1.1,
        "p95": None,
        "least": 1.0,
        "greatest": 1.2,
        "count": 3,
        "values": [1.2, 1.1, 1.0],
    }
    assert cold["floor"]["what"] == "docker run and a kernel"
    assert cold["target"] == {"basis": "ratio", "limit": 1.3, "at_least": False}
    assert (cold["compared"], cold["ratio"], cold["verdict"]) == (1.1, 1.1, "ok")
    assert cold["details"] == {"docker run s": 0.25}
    assert (cell["measured"]["p95"], cell["difference"]) == (19.0, -1.5)
    assert (upload["floor"], upload["ratio"], upload["verdict"]) == (None, None, "under")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0123, "0.012"),
        (1.236, "1.24"),
        (12.34, "12.3"),
        (90.0, "90"),
        (123.4, "123"),
        (20_000.0, "20000"),
        (-1.5, "-1.5"),
    ],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert number(value) == text
