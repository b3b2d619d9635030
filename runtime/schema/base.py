"""The two kinds of model that cross a wire: what we define, and what others may extend."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen value whose fields are all known; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Open(BaseModel):
    """A frozen value that keeps fields it does not know, as steps replayed by callers need."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
