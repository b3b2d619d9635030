"""What one interaction may use up: tokens of models, and room in the log."""

from __future__ import annotations

from runtime.errors import LimitExceeded, ModelFault
from runtime.schema.limits import shown
from runtime.schema.model import CallArguments, ModelPart, TextPart, ThoughtPart
from runtime.schema.tokens import tokens
from runtime.schema.usage import Usage

MAX_EVENTS = 200_000
"""Of one interaction."""
MAX_ANSWER_CHARS = 8_000_000
"""Of one answer of a model, whatever the budget."""
_SLACK = 2
_SLACK_TOKENS = 1000
"""How wrong an estimate may be before it stops an answer; only a provider counts exactly."""


class LogBudget:
    """The room that the steps of one interaction have in its log."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self._events = 0

    def spend(self, size: int) -> None:
        """Count one event of so many bytes. Raises `LimitExceeded` when it does not fit."""
        self._bytes += size
        self._events += 1
        if self._bytes > self._limit:
            room = shown("log_bytes", self._limit)
            raise log_limit(
                f"The steps of this interaction take more than {room}, the limit of its log "
                "(limits.log). Write large data to files instead of printing it."
            )
        if self._events > MAX_EVENTS:
            raise log_limit(f"This interaction made more than {MAX_EVENTS} events.")


class TokenBudget:
    """The tokens that one interaction has left; None is as many as it likes."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit

    def check(self, usage: Usage) -> None:
        """Before a call of a model: raise `LimitExceeded` when nothing is left."""
        if self._limit is not None and _billed(usage) >= self._limit:
            raise self._used_up(_billed(usage))

    def check_answer(self, usage: Usage, characters: int) -> None:
        """While an answer comes: raise when what came can neither be paid for nor kept.

        Raises `LimitExceeded`, or `ModelFault` for an answer without an end.
        """
        if characters > MAX_ANSWER_CHARS:
            raise ModelFault(
                f"The model's answer was longer than {MAX_ANSWER_CHARS} characters and was broken "
                "off. Set generation.max_output_tokens if the model does not stop by itself."
            )
        if self._limit is None:
            return
        left = self._limit - _billed(usage)
        if tokens(characters) > _SLACK * left + _SLACK_TOKENS:
            raise self._used_up(_billed(usage) + tokens(characters))

    def _used_up(self, used: int) -> LimitExceeded:
        fault = LimitExceeded(f"The budget of {self._limit} tokens is used up ({used} used).")
        fault.code = "token_limit"
        return fault


def log_limit(message: str) -> LimitExceeded:
    """The error of an interaction whose log is full."""
    fault = LimitExceeded(message)
    fault.code = "log_limit"
    return fault


def said(part: ModelPart) -> int:
    """How many characters a part of an answer holds."""
    match part:
        case TextPart() | ThoughtPart():
            return len(part.text)
        case CallArguments():
            return len(part.fragment)
        case _:
            return 0


def estimated(characters: int) -> Usage:
    """The usage of an answer that was broken off, so that nobody counted it."""
    count = tokens(characters)
    return Usage(total_output_tokens=count, total_tokens=count)


def _billed(usage: Usage) -> int:
    return usage.total_tokens - usage.total_cached_tokens
