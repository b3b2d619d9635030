"""What guests answer, checked: a guest may be in the hands of what it ran."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.errors import SandboxFault
from runtime.schema.protocol import Fault, RunEnded, RunOutcome

Kind = TypeVar("Kind", bound=BaseModel)
MAX_CODE, MAX_MESSAGE = 64, 4000
"""Characters of an error that ended a run."""
Text = Annotated[str, Field(max_length=64 * 1024)]


class Entry(BaseModel):
    """A file or folder."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: Text
    path: Text
    type: Annotated[str, Field(max_length=40)]
    size_bytes: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    mime_type: Annotated[str, Field(max_length=200)]
    created: Annotated[str, Field(max_length=40)] | None = None
    modified: Annotated[str, Field(max_length=40)] | None = None


class Listing(BaseModel):
    """A page of entries."""

    model_config = ConfigDict(extra="ignore", strict=True)

    files: Annotated[list[Entry], Field(max_length=2000)]
    next_page_token: Text | None = None


class Beginning(BaseModel):
    """What is known of a file before its first byte."""

    model_config = ConfigDict(extra="ignore", strict=True)

    size_bytes: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    mime_type: Annotated[str, Field(max_length=200)] | None = None


def entry_or_listing(answer: Any) -> dict[str, Any]:
    """An answer to `list_files`, without anything else in it. Raises `SandboxFault`."""
    is_listing = isinstance(answer, dict) and "files" in answer
    return _checked(Listing if is_listing else Entry, answer).model_dump(exclude_none=True)


def beginning(answer: Any) -> Beginning:
    """An answer to `read_file` or `read_tar`. Raises `SandboxFault`."""
    return _checked(Beginning, answer)


def outcome_of(ended: RunEnded) -> RunOutcome:
    """How a run ended, with no more of an error than a code and a few sentences."""
    told = ended.outcome.error
    if told is None:
        return ended.outcome
    error = Fault(code=told.code[:MAX_CODE], message=told.message[:MAX_MESSAGE])
    return ended.outcome.model_copy(update={"error": error})


def _checked(kind: type[Kind], answer: Any) -> Kind:
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        raise SandboxFault("The sandbox gave an answer about files that is none.") from error
