"""Calls Anthropic's models through the Messages API with Anthropic's SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anthropic

from runtime.clock import now
from runtime.models import anthropic_wire
from runtime.models.anthropic_events import MessageReader
from runtime.models.connection import Patience, PatientClient, what_broke
from runtime.models.faults import ProviderError, retry_after
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.settings import ProviderSettings

ADDRESS = "https://api.anthropic.com"


class AnthropicProvider:
    """One account at Anthropic, or a server that speaks its Messages API."""

    errors: tuple[type[Exception], ...] = (anthropic.AnthropicError,)

    def __init__(self, settings: ProviderSettings, patience: Patience | None = None) -> None:
        self._address = settings.base_url or ADDRESS
        self._vision = settings.vision
        self._http = PatientClient(patience or Patience())
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        client = anthropic.AsyncAnthropic(
            api_key=key, base_url=self._address, max_retries=0, http_client=self._http
        )
        # The raw events, not `messages.stream`: that parses the arguments again at every delta.
        self._create: Any = client.messages.create

    async def attempt(self, model: str, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """Ask once; the parts of the answer."""
        body = anthropic_wire.body(request, model, vision=self._vision)
        reader = MessageReader(request)
        async with await self._create(**body, stream=True) as stream:
            async for event in stream:
                for part in reader.feed(event.to_dict(warnings=False)):
                    yield part
        for part in reader.finish():
            yield part

    def takes_schema(self, model: str, request: ModelRequest) -> bool:
        """Whether the API can be given the schema of an answer."""
        return anthropic_wire.takes_schema(model, request)

    def explain(self, error: Exception) -> ProviderError:
        """What an exception of the SDK says."""
        if isinstance(error, anthropic.APIStatusError):
            return ProviderError(
                error.api_message or error.message,
                status=error.status_code,
                code=" ".join(str(kind) for kind in (error.type, error.error_code) if kind),
                retry_after_seconds=retry_after(error.response.headers.get("retry-after"), now()),
            )
        if isinstance(error, anthropic.APIConnectionError):
            return ProviderError(f"no connection to {self._address}: {what_broke(error)}")
        return ProviderError(what_broke(error))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
