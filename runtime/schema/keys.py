"""API keys and projects on the wire. They are Sandlot's own; no SDK knows them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runtime.schema.base import Open, Strict
from runtime.schema.callers import Scope


class CreateKey(Strict):
    """What a new key is to be."""

    project: str | None = None
    """The project that it is for; the first key of a project makes it. Without it, the project of
    the key that makes this one."""
    name: str | None = None
    """For people."""
    scopes: list[Scope] = Field(default_factory=lambda: list[Scope](["run", "read"]), max_length=3)
    """What it may do."""


class Key(Open):
    """A key, without the key itself."""

    id: str
    object: Literal["key"] = "key"
    project: str
    name: str | None = None
    prefix: str
    """The beginning of the key, by which a person knows it."""
    scopes: list[Scope]
    created: str
    last_used: str | None = None
    """To the minute or so."""
    revoked: str | None = None


class NewKey(Key):
    """A key that was just made."""

    key: str
    """The key itself; it is told here and never again."""


class KeyPage(Open):
    """Keys, oldest first."""

    keys: list[Key]


class Project(Open):
    """A project, and how much it has."""

    id: str
    object: Literal["project"] = "project"
    created: str
    keys: int
    interactions: int
    environments: int
    files: int


class ProjectPage(Open):
    """Projects, by name."""

    projects: list[Project]
