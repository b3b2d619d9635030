"""Skills: folders with a `SKILL.md` whose front matter says the name and what it is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from runtime.schema.agents import Skill
from runtime.schema.base import Open
from runtime.specs.file_models import check
from runtime.specs.mistakes import Loc, Mark, Mistake, did_you_mean
from runtime.specs.paths import is_folder
from runtime.specs.yaml_marks import Document, parse_document, read_text

SKILL_FILE = "SKILL.md"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_NAME, _MAX_DESCRIPTION = 64, 1024


class _FrontMatter(Open):
    """Other keys, such as `license`, are for other readers of the file."""

    name: str
    description: str = Field(min_length=1)


def read_skills(document: Document, names: Sequence[str], libraries: Sequence[Path]) -> list[Skill]:
    """The skills of an agent's file: names looked up in `libraries`, or paths beside the file.

    A skill names no other skill, so there is nothing to follow. Mistakes are added to `document`.
    """
    skills: list[Skill] = []
    for index, name in enumerate(names):
        loc: Loc = ("skills", index)
        folder = _find(document, name, libraries, loc)
        skill = read_skill(folder, document.mistakes) if folder else None
        if skill and any(skill.name == other.name for other in skills):
            message = f"there are two skills `{skill.name}`"
            document.mistakes.append(document.mistake(loc, message))
        elif skill:
            skills.append(skill)
    return skills


def read_skill(folder: Path, mistakes: list[Mistake]) -> Skill | None:
    """The skill in `folder`; mistakes of its `SKILL.md` are added."""
    path = folder / SKILL_FILE
    text = read_text(path, mistakes)
    if text is None:
        return None
    matter = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*$", text, re.DOTALL | re.MULTILINE)
    if matter is None:
        message = "must begin with front matter: `---`, name, description, `---`"
        mistakes.append(Mistake(str(path), Mark(1, 1), "", message))
        return None
    document = parse_document(matter[1], str(path), first_line=2)
    found = None if document.mistakes else check(document, _FrontMatter)
    if found is not None:
        _check_texts(document, found)
    mistakes += document.mistakes
    if found is None or document.mistakes:
        return None
    return Skill(name=found.name, description=found.description, folder=folder)


def _find(document: Document, name: str, libraries: Sequence[Path], loc: Loc) -> Path | None:
    if "/" in name:
        folder = (Path(document.file).parent / name).resolve()
        if not is_folder(folder):
            document.mistakes.append(document.mistake(loc, f"there is no folder {folder}"))
            return None
        return folder
    known = skills_of(libraries)
    if name not in known:
        hint = did_you_mean(name, known)
        message = f"there is no skill `{name}`; {hint} (a path contains a `/`, like ./{name})"
        document.mistakes.append(document.mistake(loc, message))
    return known.get(name)


def skills_of(libraries: Sequence[Path]) -> dict[str, Path]:
    """Folders with a `SKILL.md` by their name; what an earlier library has wins."""
    found: dict[str, Path] = {}
    for library in libraries:
        for path in sorted(library.glob(f"*/{SKILL_FILE}")):
            found.setdefault(path.parent.name, path.parent.resolve())
    return found


def _check_texts(document: Document, found: _FrontMatter) -> None:
    if not _NAME.fullmatch(found.name) or len(found.name) > _MAX_NAME:
        message = f"must be lower-case words joined by -, at most {_MAX_NAME} characters"
        document.mistakes.append(document.mistake(("name",), message))
    if len(found.description) > _MAX_DESCRIPTION:
        message = f"must be at most {_MAX_DESCRIPTION} characters: the agent reads it every time"
        document.mistakes.append(document.mistake(("description",), message))
