"""Who calls: what an API key stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["run", "read", "admin"]
"""`run` makes, changes and deletes; `read` looks; `admin` is for keys and credentials."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_PROJECT = "default"
OPERATOR_KEY = "operator"
"""The id of the one key that is no row: it is the operator's, in every installation."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that a call came with; nothing a call says of itself is in here."""

    project_id: str
    """Everything that the call sees and makes belongs to it."""
    scopes: frozenset[Scope]
    key_id: str

    @property
    def is_operator(self) -> bool:
        """Whether the key is the operator's, which alone reaches beyond its project."""
        return self.key_id == OPERATOR_KEY


OPERATOR = Caller(DEFAULT_PROJECT, frozenset(SCOPES), OPERATOR_KEY)
