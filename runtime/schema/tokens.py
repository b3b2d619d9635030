"""Token counts where nobody counts: four characters are a token, a medium is 258. Pure."""

from __future__ import annotations

import json
from typing import Any

from runtime.schema.steps import Step

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MEDIUM = 258


def tokens(characters: int) -> int:
    """The tokens of so many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def characters(value: Any) -> int:
    """The characters that a value in JSON's types comes to, names of fields included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        if "mime_type" in value and "data" in value:
            return TOKENS_PER_MEDIUM * CHARACTERS_PER_TOKEN
        return sum(len(str(key)) + characters(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(characters(item) for item in value)
    return 0 if value is None else len(json.dumps(value, default=str))


def step_tokens(step: Step) -> int:
    """The tokens of one step, about."""
    return tokens(characters(step.model_dump(exclude_none=True)))
