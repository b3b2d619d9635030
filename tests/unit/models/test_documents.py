"""What docs/scripts.md and docs/models.md show is true of the code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from runtime import errors
from runtime.models.registry import KINDS, Models
from runtime.models.script_blocks import LANGUAGES
from runtime.models.script_file import ScriptFile
from runtime.schema.settings import ModelsSettings

DOCS = Path(__file__).parents[3] / "docs"


def example(name: str) -> str:
    found = re.search(r"^```yaml\n(.*?)^```", (DOCS / name).read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_the_script_that_is_shown_can_be_read() -> None:
    turns = ScriptFile("scripts.md", example("scripts.md")).turns()
    assert [[call.name for call in turn.calls] for turn in turns] == [
        ["code_execution"],
        ["list_dir", "code_execution"],
        [],
    ]


def test_every_block_is_explained() -> None:
    text = (DOCS / "scripts.md").read_text()
    assert all(f"`{language}`" in text for language in LANGUAGES)


def test_the_configuration_that_is_shown_leads_to_models() -> None:
    settings = ModelsSettings.model_validate(yaml.safe_load(example("models.md"))["models"])
    models = Models(settings)
    assert models.resolve(None)[1] == "google/gemini-3.8-flash"
    assert models.resolve("whatever")[1] == "local/qwen3"


def test_every_kind_and_every_error_is_explained() -> None:
    text = (DOCS / "models.md").read_text()
    faults = errors.ModelFault.__subclasses__()
    assert len(faults) >= 7
    assert all(f"`{name}`" in text for name in [*KINDS, *(fault.code for fault in faults)])
