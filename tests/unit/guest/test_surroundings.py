from __future__ import annotations

import os
from pathlib import Path

from runtime.guest.surroundings import find_surroundings, front_matter


def test_memory_and_skills_are_found(tmp_path: Path) -> None:
    skills = tmp_path / ".agents" / "skills"
    (skills / "slides").mkdir(parents=True)
    (skills / "empty").mkdir()
    (skills / "slides" / "SKILL.md").write_text(
        "---\nname: slide-maker\ndescription: >\n  Makes\n  slides.\n---\n# How\n", encoding="utf-8"
    )
    (tmp_path / ".agents" / "AGENTS.md").write_text("Be brief.", encoding="utf-8")
    assert find_surroundings(tmp_path) == {
        "memory": ["Be brief."],
        "skills": [
            {
                "name": "slide-maker",
                "description": "Makes slides.",
                "path": "/workspace/.agents/skills/slides/SKILL.md",
            }
        ],
    }


def test_an_empty_workspace_has_nothing(tmp_path: Path) -> None:
    assert find_surroundings(tmp_path) == {"memory": [], "skills": []}


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / ".agents").mkdir()
    os.mkfifo(tmp_path / ".agents" / "AGENTS.md")
    assert find_surroundings(tmp_path)["memory"] == []


def test_front_matter_with_quotes_and_without() -> None:
    assert front_matter("---\nname: 'a: b'\n---\nx") == {"name": "a: b"}
    assert front_matter("no front matter") == {}
