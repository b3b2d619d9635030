"""What an agent's file asks for beyond what the operator allows."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.schema.limits import excesses, sandbox_ceilings, setting_of
from runtime.schema.settings import Settings
from runtime.specs.agent_file import AgentFile
from runtime.specs.file_models import file_key
from runtime.specs.mistakes import Mistake
from runtime.specs.yaml_marks import Document


def limits_mistakes(document: Document, found: AgentFile, settings: Settings) -> Iterator[Mistake]:
    """The mistakes of `limits` and `sandbox`, which were read from `document`."""
    for excess in excesses(found.limits, settings.limits):
        key = file_key(excess.field)
        yield document.mistake(("limits", key), f"{excess} (`limits.{key}` of the configuration)")
    for excess in excesses(found.sandbox, sandbox_ceilings(settings)):
        key = file_key(excess.field)
        setting = f"`{setting_of(excess.field)}` of the configuration"
        yield document.mistake(("sandbox", key), f"{excess} ({setting})")
