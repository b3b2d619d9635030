"""Agents from YAML files: the catalog of those that the operator wrote, checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.errors import NotFound
from runtime.schema.agents import AgentLimits, AgentSpec
from runtime.schema.credentials import wrong_id
from runtime.schema.limits import SandboxLimits
from runtime.schema.model import Generation
from runtime.schema.settings import Settings
from runtime.specs.agent_file import AGENT_FILE, AgentFile
from runtime.specs.agent_limits import limits_mistakes
from runtime.specs.agent_tools import read_tools
from runtime.specs.data_sources import read_data_sources
from runtime.specs.file_models import check, plain
from runtime.specs.mistakes import Loc, Mistake, MistakesFound, did_you_mean, in_order
from runtime.specs.networks import network_mistakes
from runtime.specs.paths import is_folder, is_there
from runtime.specs.skills import read_skills
from runtime.specs.yaml_marks import Document, read_document, read_text

SKILLS_FOLDER = "skills"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class AgentCatalog:
    """The agents of some folders, by id and alias."""

    def __init__(self, specs: Sequence[AgentSpec]) -> None:
        self._specs = {spec.id: spec for spec in sorted(specs, key=lambda spec: spec.id)}
        self._names = {name: spec for spec in specs for name in (spec.id, *spec.aliases)}

    def get(self, name: str) -> AgentSpec:
        """The agent with this id or alias.

        Raises:
            NotFound: There is none; the message names what there is.

        """
        if name not in self._names:
            hint = did_you_mean(name, self._names)
            known = ", ".join(self._specs)
            listed = "" if hint.startswith("known") else f" The agents are {known or 'none'}."
            raise NotFound(f"There is no agent `{name}`; {hint}{listed}")
        return self._names[name]

    def list(self) -> list[AgentSpec]:
        """All agents, by id."""
        return [*self._specs.values()]


def load_agents(folders: Sequence[Path], settings: Settings | None = None) -> AgentCatalog:
    """The agents of the YAML files that lie in `folders`, not deeper.

    A skill is looked up in `skills/` beside the agent's file, then in those of the other folders.
    No agent may ask for more than `settings` allows.

    Raises:
        MistakesFound: With every mistake of every file.

    """
    specs, mistakes = _read_all(folders, settings=settings)
    if mistakes:
        raise MistakesFound(mistakes)
    return AgentCatalog(specs)


def validate_path(
    path: Path, folders: Sequence[Path] = (), settings: Settings | None = None
) -> list[Mistake]:
    """Every mistake of the agent's file, or folder of them, at `path`; empty when all is well.

    `folders` are further folders of agents whose skills may be named; `settings` say how much an
    agent may ask for.
    """
    if not is_there(path):
        return [Mistake(str(path), None, "", "there is no such file or folder")]
    if is_folder(path):
        return _read_all([path], folders, settings)[1] or _none_found(path)
    return in_order(_read(path, folders, settings)[1].mistakes)


def _read_all(
    folders: Sequence[Path], more: Sequence[Path] = (), settings: Settings | None = None
) -> tuple[list[AgentSpec], list[Mistake]]:
    found: list[tuple[AgentSpec, Document]] = []
    mistakes: list[Mistake] = []
    for folder in dict.fromkeys(folders):
        if not is_folder(folder):
            mistakes.append(Mistake(str(folder), None, "", "there is no such folder of agents"))
        for path in _files(folder):
            spec, document = _read(path, [*folders, *more], settings)
            found += [(spec, document)] if spec else []
            mistakes += document.mistakes
    return [spec for spec, _ in found], in_order([*mistakes, *_name_clashes(found)])


def _read(
    path: Path, folders: Sequence[Path], settings: Settings | None
) -> tuple[AgentSpec | None, Document]:
    """The agent of one file, and the document with its mistakes; no agent when there are any."""
    document = read_document(path)
    if document.data is None and document.mistakes:
        return None, document
    found = check(document, AGENT_FILE)
    if found is not None and settings is not None:
        document.add_new(limits_mistakes(document, found, settings))
    spec = _build(document, found, _libraries(path, folders)) if found else None
    return (None if document.mistakes else spec), document


def _files(folder: Path) -> Iterator[Path]:
    found = (path for suffix in ("*.yaml", "*.yml") for path in folder.glob(suffix))
    return iter(sorted(path for path in found if not is_folder(path)))


def _libraries(path: Path, folders: Sequence[Path]) -> list[Path]:
    return [folder / SKILLS_FOLDER for folder in dict.fromkeys([path.parent, *folders])]


def _none_found(folder: Path) -> list[Mistake]:
    if next(_files(folder), None) is not None:
        return []
    return [Mistake(str(folder), None, "", "holds no agents (files *.yaml or *.yml)")]


def _build(document: Document, found: AgentFile, libraries: Sequence[Path]) -> AgentSpec:
    _check_names(document, found)
    _check_variables(document, found)
    document.add_new(network_mistakes(document, found.network, ("network",)))
    tools = read_tools(document, found.tools)
    return AgentSpec(
        id=found.id,
        aliases=found.aliases,
        description=found.description.strip(),
        model=found.model,
        instructions=_instructions(document, found),
        sandbox_tools=tools.sandbox,
        functions=tools.functions,
        other_tools=tools.others,
        skills=read_skills(document, found.skills, libraries),
        data_sources=read_data_sources(document, found.data_sources),
        environment_variables={
            name: entry.value
            for name, entry in found.environment_variables.items()
            if entry.value is not None
        },
        credential_variables={
            name: entry.credential
            for name, entry in found.environment_variables.items()
            if entry.credential is not None
        },
        network=found.network,
        generation=plain(Generation, found.generation),
        limits=plain(AgentLimits, found.limits),
        sandbox=plain(SandboxLimits, found.sandbox),
        source=f"{document.file}:{document.mark(('id',), key=True).line}",
    )


def _check_names(document: Document, found: AgentFile) -> None:
    message = "must be letters, digits, `.`, `_` and `-` (at most 128), starting with a letter"
    for loc, name in _names(found).items():
        if not _NAME.fullmatch(name):
            document.mistakes.append(document.mistake(loc, f"{message} or digit"))
    names = [found.id, *found.aliases]
    for index, alias in enumerate(found.aliases):
        if alias in names[: index + 1]:
            twice = document.mistake(("aliases", index), f"`{alias}` stands here twice")
            document.mistakes.append(twice)
    if found.model is not None and not found.model.strip():
        document.mistakes.append(document.mistake(("model",), "is empty"))


def _names(agent: AgentFile | AgentSpec) -> dict[Loc, str]:
    aliases: dict[Loc, str] = {("aliases", n): alias for n, alias in enumerate(agent.aliases)}
    return {("id",): agent.id, **aliases}


def _check_variables(document: Document, found: AgentFile) -> None:
    for name, entry in found.environment_variables.items():
        loc = ("environment_variables", name)
        if entry.credential is not None and (wrong := wrong_id(entry.credential)):
            document.mistakes.append(document.mistake((*loc, "credential"), wrong))
        if not _VARIABLE.fullmatch(name):
            message = "a variable's name is letters, digits and _, not starting with a digit"
            document.mistakes.append(document.mistake(loc, message, key=True))


def _instructions(document: Document, found: AgentFile) -> str:
    if found.instructions_file is None:
        return (found.instructions or "").strip()
    loc = ("instructions_file",)
    if found.instructions is not None:
        message = "stands beside `instructions`; keep one of the two"
        document.mistakes.append(document.mistake(loc, message, key=True))
    wrong: list[Mistake] = []
    text = read_text(Path(document.file).parent / found.instructions_file, wrong)
    document.mistakes += [document.mistake(loc, f"{it.file} {it.message}") for it in wrong]
    return (text or "").strip()


def _name_clashes(found: Sequence[tuple[AgentSpec, Document]]) -> Iterator[Mistake]:
    owners: dict[str, AgentSpec] = {}
    for spec, document in found:
        for loc, name in _names(spec).items():
            owner = owners.setdefault(name, spec)
            if owner is not spec:
                message = f"`{name}` is taken by the agent `{owner.id}` of {owner.source}"
                yield document.mistake(loc, message)
