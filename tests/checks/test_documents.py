"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import runtime
from runtime.errors import SandlotError, ToolFault
from runtime.specs.agents import validate_path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
_PACKAGE = re.compile(r"`(runtime/[\w/]+(?:\.py)?)`")
_COMMAND = re.compile(r"^sandlot (\w+)", re.MULTILINE)


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_modules_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [document.parent / link for link in _LINK.findall(text)]
    modules = [ROOT / module for module in _PACKAGE.findall(text)]
    assert [str(path) for path in [*links, *modules] if not path.exists()] == []


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None and newest[1] == runtime.__version__


def test_the_agents_of_the_readme_are_valid(tmp_path: Path) -> None:
    agents = [block for block in fences(readme(), "yaml") if block.startswith("id:")]
    assert len(agents) == 2
    (tmp_path / "data.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    for number, agent in enumerate(agents):
        assert len(agent.splitlines()) <= 12, "ten lines of YAML"
        path = tmp_path / f"{number}.yaml"
        path.write_text(agent, encoding="utf-8")
        assert [str(mistake) for mistake in validate_path(path)] == []


def test_commands_of_the_readme_exist() -> None:
    from runtime.cli.main import app

    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    used = {name for block in fences(readme(), "sh") for name in _COMMAND.findall(block)}
    assert used and used <= names


def test_every_package_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "runtime").glob("*/__init__.py")]
    assert [name for name in packages if f"runtime/{name}" not in text] == []


def test_every_error_code_is_documented() -> None:
    def kinds(root: type[SandlotError]) -> list[type[SandlotError]]:
        return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]

    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    # A tool's fault goes to the model and never to a caller; what other modules raise stays there.
    said = [kind for kind in kinds(SandlotError) if kind.__module__ == SandlotError.__module__]
    codes = {kind.code for kind in said if kind is not ToolFault}
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []
