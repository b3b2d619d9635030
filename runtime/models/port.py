"""What a model is to the rest of the runtime: one call in, a stream of parts out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from runtime.schema.media import IMAGES, PDF
from runtime.schema.model import ModelPart, ModelRequest


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model without asking it."""

    id: str
    """What callers may write: an alias, or `provider/name`."""
    target: str
    """The `provider/name` that answers."""
    provider: str
    context_tokens: int | None = None
    """How many tokens it can read; None where that is not known."""
    compact_at: float = 0.8
    """Share of that at which older steps of a conversation are compacted."""
    takes: frozenset[str] | None = None
    """MIME types of the media that it is given as they are; None for everything there is."""

    def is_given(self, mime_type: str) -> bool:
        """Whether media of that type go to it as they are."""
        return self.takes is None or mime_type in self.takes

    @property
    def vision(self) -> bool:
        """Whether it is given pictures; without, it is told that one was left out."""
        return any(self.is_given(mime_type) for mime_type in IMAGES)

    @property
    def documents(self) -> bool:
        """Whether it is given PDFs as they are; without, their text."""
        return self.is_given(PDF)


class Model(Protocol):
    """One model, ready to be called any number of times, also at once."""

    @property
    def info(self) -> ModelInfo:
        """What is known of it."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of one answer; exactly one `ModelDone`, and it is the last.

        `request.model` is not looked at: the model was chosen when this object was. A consumer
        that may stop early wraps it in `contextlib.aclosing`, which ends the provider's work too.

        Raises a `ModelFault`: before the first part after all retries, after it at once.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections; no stream may be open."""
        ...
