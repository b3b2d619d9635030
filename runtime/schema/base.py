"""The kinds of model that cross a wire: what we define, what others may extend, what is asked."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen value whose fields are all known; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Open(BaseModel):
    """A frozen value that keeps fields it does not know, as steps replayed by callers need."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)


class Request(BaseModel):
    """A part of a request: no unknown fields, no conversion between JSON types."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )
