"""How full a model's context is."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.schema.model import FunctionDeclaration
from runtime.schema.protocol import ContextSpec
from runtime.schema.steps import Step
from runtime.schema.tokens import characters, step_tokens, tokens
from runtime.schema.usage import Usage


class ContextMeter:
    """Counts the tokens of a conversation: what the provider reported, and what came since.

    Until the provider has reported, all is estimated.
    """

    def __init__(self, spec: ContextSpec, history: Sequence[Step], overhead_tokens: int) -> None:
        self._compact_at = spec.compact_at
        self._most = float(spec.window_tokens)
        self._overhead = overhead_tokens
        self._known = spec.used_tokens
        self._since: list[Step] = []
        if self._known is None:
            self.recount(history)

    @property
    def room_tokens(self) -> float:
        """What the conversation may take before it is compacted."""
        return self._most * self._compact_at

    @property
    def is_over(self) -> bool:
        """Whether the conversation takes more than the model can read at all."""
        return self.used_tokens >= self._most

    @property
    def used_tokens(self) -> int:
        """What the conversation takes now."""
        return (self._known or 0) + sum(step_tokens(step) for step in self._since)

    def reported(self, usage: Usage, answer: Sequence[Step]) -> None:
        """A call was made; its usage says what the conversation takes, its answer included."""
        told = usage.total_input_tokens + usage.total_output_tokens + usage.total_thought_tokens
        if usage.context_tokens or told:
            self._known = usage.context_tokens or told
            self._since = []
        else:
            self._since += answer

    def refused(self) -> None:
        """The provider does not take the conversation: it knows better what fits."""
        self._most = min(self._most, float(self.used_tokens))

    def added(self, steps: Sequence[Step]) -> None:
        """Steps came that no call has reported yet."""
        self._since += steps

    def scale(self, history: Sequence[Step]) -> float:
        """The provider's tokens for one estimated token; estimates are rough in some scripts."""
        estimated = self._overhead + sum(step_tokens(step) for step in history)
        return max(0.25, min(8.0, self.used_tokens / max(1, estimated)))

    def recount(self, history: Sequence[Step], scale: float = 1.0) -> None:
        """The history is another one now: estimate it, until the next report."""
        estimated = self._overhead + sum(step_tokens(step) for step in history)
        self._known = round(estimated * scale)
        self._since = []


def overhead_tokens(instruction: str | None, tools: Sequence[FunctionDeclaration]) -> int:
    """The tokens of what stands before every conversation, about."""
    declared = sum(characters(tool.model_dump()) for tool in tools)
    return tokens(len(instruction or "") + declared)
