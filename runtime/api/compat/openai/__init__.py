"""OpenAI-style calls: Responses, Chat Completions and Models, under `/openai/v1`."""

from __future__ import annotations

from runtime.api.compat.openai.faults import OpenAIErrors
from runtime.api.compat.openai.routes import router

__all__ = ["OpenAIErrors", "router"]
