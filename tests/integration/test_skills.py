"""The skills that ship work where they are used: in a sandbox."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.sandlot import INLINE, RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

SKILLS = Path(__file__).parents[2] / "agents" / "skills"
FOLDER = "/workspace/.agents/skills"

REPORT = f"""
import sys
sys.path.insert(0, "{FOLDER}/report")
import matplotlib.pyplot as plt
import pandas as pd
from report import Report

frame = pd.DataFrame({{"name": ["a", "b"], "value": [1.5, float("nan")]}})
figure, axes = plt.subplots()
axes.plot([1, 2])
page = Report("A page")
page.chart(figure, "A line")
page.table(frame, "A table")
plt.close(figure)
print(page.save("/workspace/report/index.html"))
"""
WORKBOOK = """
import openpyxl
for row in openpyxl.load_workbook("/workspace/out.xlsx").active.iter_rows(values_only=True):
    print(row)
"""


def writing() -> str:
    """The example of the spreadsheet skill."""
    text = (SKILLS / "spreadsheet" / "SKILL.md").read_text(encoding="utf-8")
    found = re.search(r"## Writing\n\n```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return 'rows = [("N", 2, 3.5), ("S", 4, 1.25)]\n' + found[1]


def test_an_analyst_can_use_its_skills(sandlot: RunningController) -> None:
    steps = [fence("python", REPORT, writing(), WORKBOOK)]
    steps += ['```tool browser_navigate\n{"url": "/workspace/report/index.html"}\n```']
    run = sandlot.client.interactions.create(
        agent="data-analyst", agent_config=INLINE, input="\n".join(steps), environment="remote"
    )
    assert run.status == "completed", run
    report, _, workbook, page = results(run)
    assert report.strip() == "/workspace/report/index.html"
    assert "('S', 4, 1.25, '=B3*C3')" in workbook
    assert "('Total', '=SUM(B2:B3)', None, '=SUM(D2:D3)')" in workbook
    assert 'img "A line"' in page and 'columnheader "value"' in page
