"""Quotas: how much each project may have at once. Part of the configuration."""

from __future__ import annotations

from pydantic import Field

from runtime.schema.base import Strict


class QuotaLimits(Strict):
    """The most that one project may have; None is no limit."""

    running: int | None = Field(default=None, ge=1)
    """Interactions that run at once, and sandboxes that live at once; more interactions wait."""
    queued: int | None = Field(default=None, ge=0)
    """Interactions that wait, beyond those that run."""
    environments: int | None = Field(default=None, ge=0)
    """Environments that are kept."""
    stored_bytes: int | None = Field(default=None, ge=0)
    """Of its uploaded files and the workspaces of its environments, together."""
    requests_per_second: float | None = Field(default=None, gt=0)
    """Calls of the API; as many may come at once."""
    streams: int | None = Field(default=None, ge=1)
    """Event streams, terminals and waiting calls that are open at once."""


class QuotasSettings(QuotaLimits):
    """What holds for every project, and what else for some."""

    queued: int | None = Field(default=10_000, ge=0)
    """Interactions that wait, beyond those that run."""
    environments: int | None = Field(default=10_000, ge=0)
    """Environments that are kept."""
    streams: int | None = Field(default=10_000, ge=1)
    """Event streams, terminals and waiting calls that are open at once."""
    projects: dict[str, QuotaLimits] = Field(default_factory=dict[str, QuotaLimits])
    """By the project's name: limits that win over those beside."""

    def of(self, project_id: str) -> QuotaLimits:
        """The limits of a project."""
        own = self.projects.get(project_id)
        if own is None:
            return self
        said = {name: getattr(own, name) for name in own.model_fields_set}
        common = {name: getattr(self, name) for name in QuotaLimits.model_fields}
        return QuotaLimits(**{**common, **said})
