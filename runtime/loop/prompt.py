"""The system instruction of a run: the agent's words, then what it must know of its sandbox.

The text is a pure function of its arguments, so that it stays the same from call to call and
providers' prompt caches hit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SANDBOX = """\
# Your sandbox
You work in a Linux sandbox of your own. /workspace is your working directory: everything in it is
kept for later turns and can be downloaded by the user; the rest of the file system is read-only
except /tmp. You are not root."""

_NETWORK = """\
The sandbox reaches the internet by HTTP and HTTPS only, through a proxy that programs find in
their environment variables: pip, npm, git, curl and the browser need no settings (aiohttp needs
trust_env=True). What pip and npm install stays. Other protocols do not work: no DNS, ping, SSH or
raw sockets. A host may be refused: the answer has status 403 and mostly says why (curl -v shows
it); trying again does not help."""
_NO_NETWORK = "The sandbox has no network access: nothing outside it can be reached."


@dataclass(frozen=True, slots=True)
class FoundSkill:
    """A skill lying in the sandbox."""

    name: str
    description: str
    path: str
    """Of its SKILL.md, in the sandbox."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the guest found in its environment."""

    has_network: bool = False
    skills: list[FoundSkill] = field(default_factory=list[FoundSkill])
    memory: list[str] = field(default_factory=list[str])
    """Texts of AGENTS.md files."""


def compose(instruction: str | None, surroundings: Surroundings | None) -> str | None:
    """The whole system instruction, or None when there is nothing to say."""
    parts = [instruction.strip()] if instruction and instruction.strip() else []
    if surroundings is not None:
        parts += _describe(surroundings)
    return "\n\n".join(parts) or None


def _describe(surroundings: Surroundings) -> list[str]:
    parts = [f"{_SANDBOX}\n{_NETWORK if surroundings.has_network else _NO_NETWORK}"]
    if surroundings.skills:
        rows = [
            f"- {skill.name}: {skill.description} ({skill.path})" for skill in surroundings.skills
        ]
        intro = "# Skills\nRead the file of a skill before you do work that it covers."
        parts.append("\n".join([intro, *rows]))
    parts += [text.strip() for text in surroundings.memory if text.strip()]
    return parts
