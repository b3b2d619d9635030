"""Calls OpenAI's models through the Responses API with OpenAI's SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import openai

from runtime.models import openai_errors, openai_wire
from runtime.models.connection import Patience, PatientClient
from runtime.models.faults import ProviderError
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.settings import ProviderSettings

ADDRESS = "https://api.openai.com/v1"
# A model that thinks hard and shows no summaries sends nothing for minutes, keep-alives neither.
PATIENCE = Patience(between_chunks_seconds=300.0)


class OpenAIProvider:
    """One account at OpenAI, or a server that speaks its Responses API."""

    errors: tuple[type[Exception], ...] = (openai.OpenAIError,)

    def __init__(self, settings: ProviderSettings, patience: Patience = PATIENCE) -> None:
        self._address = settings.base_url or ADDRESS
        self._vision = settings.vision
        self._http = PatientClient(patience)
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        client = openai.AsyncOpenAI(
            api_key=key, base_url=self._address, max_retries=0, http_client=self._http
        )
        self._create: Any = client.responses.create

    async def attempt(self, model: str, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """Ask once; the parts of the answer."""
        body = openai_wire.body(request, model, vision=self._vision)
        reader = openai_wire.ResponseReader(request)
        async with await self._create(**body, stream=True) as stream:
            async for event in stream:
                for part in reader.feed(event.to_dict(warnings=False)):
                    yield part
        for part in reader.finish():
            yield part

    def takes_schema(self, model: str, request: ModelRequest) -> bool:
        """Whether the API can be given the schema of an answer."""
        return openai_wire.takes_schema(model, request)

    def explain(self, error: Exception) -> ProviderError:
        """What an exception of the SDK says."""
        return openai_errors.explain(error, self._address)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
