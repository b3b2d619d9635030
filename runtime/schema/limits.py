"""What a sandbox and a run may use, as agents and calls ask for it and operators allow it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, Field

from runtime.schema.base import Request
from runtime.schema.settings import Settings


class SandboxLimits(Request):
    """What a sandbox gets: what is left out is the operator's figure, which is also the most."""

    memory_bytes: int | None = Field(default=None, ge=256 * 1024**2)
    """Without swap; what lies in `/tmp` and `/dev/shm` counts."""
    cpus: float | None = Field(default=None, ge=0.1)
    """Processors; 0.5 is half of one."""
    pids: int | None = Field(default=None, ge=64)
    """Processes and threads."""
    open_files: int | None = Field(default=None, ge=256)
    """Of one process."""
    workspace_bytes: int | None = Field(default=None, ge=64 * 1024**2)
    workspace_inodes: int | None = Field(default=None, ge=1000)
    """Files and folders."""
    file_size_bytes: int | None = Field(default=None, ge=1024**2)
    """Of one file."""
    sent_bytes: int | None = Field(default=None, ge=0)
    """What may be sent to the outside while a sandbox lives."""
    received_bytes: int | None = Field(default=None, ge=0)
    """What may be received from the outside while a sandbox lives."""
    connections: int | None = Field(default=None, ge=1)
    """To the outside, at once."""


class CallLimits(Request):
    """What one interaction may use: what is left out is the agent's figure."""

    max_steps: int | None = Field(default=None, ge=1)
    """Turns of the model."""
    timeout_seconds: float | None = Field(default=None, gt=0)
    """For the whole interaction."""
    tool_timeout_seconds: float | None = Field(default=None, gt=0)
    """For one tool call."""
    output_chars: int | None = Field(default=None, ge=1000)
    """Of one result of code execution."""
    log_bytes: int | None = Field(default=None, ge=64 * 1024)
    """Of all steps of the interaction, as they are stored."""


_SECTIONS = {"sent_bytes": "egress", "received_bytes": "egress", "connections": "egress"}


@dataclass(frozen=True, slots=True)
class Excess:
    """A figure above what is allowed."""

    field: str
    asked: float
    allowed: float

    def __str__(self) -> str:
        """`2048 MiB is more than is allowed here, 1024 MiB`."""
        asked, allowed = shown(self.field, self.asked), shown(self.field, self.allowed)
        return f"{asked} is more than is allowed here, {allowed}"


def shown(field: str, value: float) -> str:
    """A figure of the field `field` with its unit."""
    if field.endswith("_bytes"):
        whole = value % 1024**2 == 0
        return f"{value / 1024**2:.0f} MiB" if whole else f"{value:.0f} bytes"
    return f"{value:g} s" if field.endswith("_seconds") else f"{value:g}"


def sandbox_ceilings(settings: Settings) -> SandboxLimits:
    """The operator's figures."""
    found = {
        name: getattr(getattr(settings, _SECTIONS.get(name, "sandbox")), name)
        for name in SandboxLimits.model_fields
    }
    return SandboxLimits.model_construct(**found)


def setting_of(field: str) -> str:
    """The operator's setting that bounds a field of `SandboxLimits`, as the file spells it."""
    return f"{_SECTIONS.get(field, 'sandbox')}.{field.removesuffix('_bytes')}"


def excesses(asked: BaseModel, allowed: BaseModel) -> Iterator[Excess]:
    """Every figure given in `asked` above that of `allowed`; one that is None bounds nothing."""
    for name in asked.model_fields_set:
        wanted, most = getattr(asked, name), getattr(allowed, name, None)
        if wanted is not None and most is not None and wanted > most:
            yield Excess(name, wanted, most)


def lowered(limits: SandboxLimits, allowed: SandboxLimits) -> SandboxLimits:
    """The lower figure of both, field by field; what only one names is that one's."""
    least: dict[str, float] = {}
    for name in SandboxLimits.model_fields:
        figures = [getattr(one, name) for one in (limits, allowed)]
        named = [figure for figure in figures if figure is not None]
        if named:
            least[name] = min(named)
    return limits.model_copy(update=least)


def given(limits: SandboxLimits | None) -> dict[str, float] | None:
    """What is asked for, as it is stored; None when nothing is."""
    return (limits.model_dump(exclude_none=True) or None) if limits else None
