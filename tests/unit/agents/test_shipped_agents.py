from __future__ import annotations

import ast
import csv
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from runtime.models.script import read_script
from runtime.schema.sandbox_tools import SANDBOX_TOOLS
from runtime.specs.agents import AgentCatalog, load_agents, validate_path
from runtime.specs.skills import skills_of

AGENTS = Path(__file__).parents[3] / "agents"
SKILLS = skills_of([AGENTS / "skills"])


@pytest.fixture(scope="module")
def catalog() -> AgentCatalog:
    return load_agents([AGENTS])


def test_they_have_no_mistakes() -> None:
    assert [str(mistake) for mistake in validate_path(AGENTS)] == []


def test_those_that_are_promised_are_there(catalog: AgentCatalog) -> None:
    ids = [spec.id for spec in catalog.list()]
    assert ids == ["antigravity", "data-analyst", "researcher", "tour"]
    assert all(spec.description and spec.instructions for spec in catalog.list())


@pytest.mark.parametrize("version", ["05-2026", "09-2026"])
def test_the_default_agent_answers_to_the_names_of_the_api(
    catalog: AgentCatalog, version: str
) -> None:
    spec = catalog.get(f"antigravity-preview-{version}")
    assert spec.id == "antigravity"
    assert spec.model is None
    assert spec.sandbox_tools == list(SANDBOX_TOOLS)


def test_instructions_name_only_tools_that_there_are(catalog: AgentCatalog) -> None:
    texts = [spec.instructions for spec in catalog.list()]
    texts += [(folder / "SKILL.md").read_text(encoding="utf-8") for folder in SKILLS.values()]
    pattern = re.compile(r"\b(?:browser|view|write_to|replace_file|list|find_by|grep)_\w+")
    named = {name for text in texts for name in pattern.findall(text)}
    assert "browser_navigate" in named
    assert named - SANDBOX_TOOLS.keys() == set()


def test_every_skill_is_used_by_an_agent(catalog: AgentCatalog) -> None:
    used = {skill.name for spec in catalog.list() for skill in spec.skills}
    assert used == SKILLS.keys() == {"report", "spreadsheet", "web-research"}


def test_the_tour_plays_a_script_that_calls_its_own_tools(catalog: AgentCatalog) -> None:
    spec = catalog.get("tour")
    assert spec.model == "script/tour"
    calls = [call for turn in read_script(AGENTS / "scripts" / "tour.yaml") for call in turn.calls]
    assert {call.name for call in calls} <= set(spec.sandbox_tools)
    assert {call.arguments.get("language") for call in calls if call.name == "code_execution"} == {
        "python",
        "bash",
    }


def test_no_figure_of_the_tour_stands_in_its_script() -> None:
    turns = read_script(AGENTS / "scripts" / "tour.yaml")
    spoken = [utterance.text for turn in turns for utterance in turn.utterances]
    assert "${overall}" in spoken[-1]
    assert [text for text in spoken if re.search(r"\d", re.sub(r"\$\{\w+\}", "", text))] == []


def test_the_code_of_the_tour_can_be_read() -> None:
    turns = read_script(AGENTS / "scripts" / "tour.yaml")
    cells = [call.arguments for turn in turns for call in turn.calls]
    python = [cell["code"] for cell in cells if cell.get("language") == "python"]
    assert len(python) >= 5
    for code in python:
        ast.parse(re.sub(r"\$\{\w+\}", "1", code))


def test_the_data_comes_whole_and_with_its_licence(catalog: AgentCatalog) -> None:
    (source,) = catalog.get("tour").data_sources
    assert source.target == "/workspace/data/penguins"
    with (source.path / "penguins.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    species = [row["species"] for row in rows]
    assert {name: species.count(name) for name in set(species)} == {
        "Adelie": 152,
        "Chinstrap": 68,
        "Gentoo": 124,
    }
    assert "CC0 1.0 Universal" in (source.path / "LICENSE").read_text(encoding="utf-8")
    assert "Licence: CC0 1.0 Universal," in (source.path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SKILLS)
def test_the_python_of_a_skill_can_be_read(name: str) -> None:
    text = (SKILLS[name] / "SKILL.md").read_text(encoding="utf-8")
    for code in re.findall(r"^ *```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        margin = re.match(" *", code)
        assert margin is not None
        ast.parse(re.sub(f"^{margin[0]}", "", code, flags=re.MULTILINE))


class Page(HTMLParser):
    """Text and tags of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def report() -> Any:
    module = runpy.run_path(str(SKILLS["report"] / "report.py"))
    return module["Report"]("Bills <b> & more", "About **it**.")


def test_the_report_skill_writes_a_page_of_one_file(report: Any, tmp_path: Path) -> None:
    picture = tmp_path / "dot.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    report.figures({"Birds": 344})
    report.section("Finding")
    report.text("First `code`.\n\nSecond <script>alert(1)</script>.")
    report.chart(picture, 'A "dot"')
    report.table([{"name": "a<b", "size": 12345.678, "year": 2008, "none": None}], "Sizes")
    page = Page(report.save(tmp_path / "new" / "index.html").read_text(encoding="utf-8"))
    assert page.tags.count("p") == 3
    assert page.tags.count("script") == 1
    assert [link.split(",")[0] for link in page.links] == ["data:image/svg+xml;base64"]
    text = "".join(page.words)
    for expected in ("Bills <b> & more", "344", "a<b", "12,345.68", "2008", "–"):
        assert expected in text
    assert "nan" not in text


def test_the_report_skill_takes_an_empty_table(report: Any) -> None:
    report.table([], "Nothing")
    assert "Nothing" in report.html()
