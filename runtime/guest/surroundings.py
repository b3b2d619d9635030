"""Finds what an environment holds for the prompt: AGENTS.md files and skills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MAX_MEMORY_CHARS = 64_000
MAX_SKILLS = 100
MAX_DESCRIPTION_CHARS = 1000
_HEAD_CHARS = 8_000


def find_surroundings(workspace: Path) -> dict[str, Any]:
    """`{memory: [text], skills: [{name, description, path}]}`; `/workspace` in every path."""
    memory = [
        text
        for name in (".agents/AGENTS.md", "AGENTS.md")
        if (text := _read(workspace / name, MAX_MEMORY_CHARS))
    ]
    return {"memory": memory, "skills": _skills(workspace)}


def _skills(workspace: Path) -> list[dict[str, str]]:
    folder = workspace / ".agents" / "skills"
    if not folder.is_dir():
        return []
    found: list[dict[str, str]] = []
    for skill in sorted(folder.iterdir())[:MAX_SKILLS]:
        head = _read(skill / "SKILL.md", _HEAD_CHARS)
        if head:
            fields = front_matter(head)
            found.append(
                {
                    "name": fields.get("name", skill.name)[:100],
                    "description": fields.get("description", "")[:MAX_DESCRIPTION_CHARS],
                    "path": f"/workspace/.agents/skills/{skill.name}/SKILL.md",
                }
            )
    return found


def front_matter(text: str) -> dict[str, str]:
    """The simple `key: value` lines between the leading `---` lines, folded values joined."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    fields: dict[str, str] = {}
    key = ""
    for line in lines[1:]:
        if line.strip() == "---":
            break
        if line[:1].isspace() and key:
            fields[key] = f"{fields[key]} {line.strip()}".strip()
        elif ":" in line:
            key, _, value = line.partition(":")
            key = key.strip()
            fields[key] = value.strip().strip("\"'").lstrip(">|").strip()
    return fields


def _read(path: Path, limit: int) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(limit)
    except OSError:
        return ""
