"""Token counts, as the wire names them."""

from __future__ import annotations

from typing import Any

from runtime.schema.base import Open


class Usage(Open):
    """Tokens of one model call, or summed over a run."""

    total_input_tokens: int = 0
    total_output_tokens: int = 0
    total_thought_tokens: int = 0
    total_cached_tokens: int = 0
    total_tool_use_tokens: int = 0
    total_tokens: int = 0
    context_tokens: int | None = None
    """What the conversation takes in the model's context: all tokens of the last call."""
    initial_input_tokens: int | None = None
    input_tokens_by_modality: list[dict[str, Any]] | None = None
    output_tokens_by_modality: list[dict[str, Any]] | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum of the totals; the breakdowns by modality are summed per modality."""
        return Usage(
            total_input_tokens=self.total_input_tokens + other.total_input_tokens,
            total_output_tokens=self.total_output_tokens + other.total_output_tokens,
            total_thought_tokens=self.total_thought_tokens + other.total_thought_tokens,
            total_cached_tokens=self.total_cached_tokens + other.total_cached_tokens,
            total_tool_use_tokens=self.total_tool_use_tokens + other.total_tool_use_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            context_tokens=other.context_tokens or self.context_tokens,
            initial_input_tokens=self.initial_input_tokens or other.initial_input_tokens,
            input_tokens_by_modality=_add_modalities(
                self.input_tokens_by_modality, other.input_tokens_by_modality
            ),
            output_tokens_by_modality=_add_modalities(
                self.output_tokens_by_modality, other.output_tokens_by_modality
            ),
        )


def _add_modalities(
    left: list[dict[str, Any]] | None, right: list[dict[str, Any]] | None
) -> list[dict[str, Any]] | None:
    if not left or not right:
        return left or right
    totals: dict[str, int] = {}
    for row in [*left, *right]:
        totals[row["modality"]] = totals.get(row["modality"], 0) + row["tokens"]
    return [{"modality": modality, "tokens": tokens} for modality, tokens in totals.items()]
