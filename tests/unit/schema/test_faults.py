from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from runtime.schema.faults import MAX_READ, MAX_SHOWN, explain
from runtime.schema.interactions import CreateInteraction


class Watched(dict[str, Any]):
    """Knows how often something was looked for in it."""

    looks = 0

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)


def mistakes(amount: int) -> tuple[ValidationError, Watched]:
    body = Watched({f"inpt{number}": 0 for number in range(amount)}, agent="antigravity")
    with pytest.raises(ValidationError) as caught:
        CreateInteraction.model_validate(dict(body, input="hello"))
    return caught.value, body


def test_mistakes_are_counted_beyond_those_that_are_shown() -> None:
    message = explain(*mistakes(5), known=["input"])
    assert message.count("Unknown parameter") == MAX_SHOWN
    assert message.endswith("(and 2 more)")


def test_of_very_many_mistakes_only_the_first_are_put_into_words() -> None:
    # A body can hold millions, and to look for the nearest name takes long.
    amount = 10 * MAX_READ
    error, body = mistakes(amount)
    message = explain(error, body, known=["input"])
    assert message.startswith("Unknown parameter 'inpt0'. Did you mean 'input'?")
    assert message.endswith(f"(and {amount - MAX_SHOWN} more)")
    assert body.looks <= MAX_READ
