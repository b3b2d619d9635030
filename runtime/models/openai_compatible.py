"""Calls any server with a chat-completions endpoint: Ollama, vLLM, llama.cpp and their like."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import openai

from runtime.errors import ModelNotConfigured
from runtime.models import chat_wire, openai_errors
from runtime.models.chat_events import ChatReader
from runtime.models.connection import Patience, PatientClient
from runtime.models.faults import ProviderError
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.settings import ProviderSettings


class ChatProvider:
    """One server with a chat-completions endpoint."""

    errors: tuple[type[Exception], ...] = (openai.OpenAIError,)

    def __init__(self, settings: ProviderSettings, patience: Patience | None = None) -> None:
        if settings.base_url is None:
            raise ModelNotConfigured("A provider of kind openai_compatible needs a `base_url`.")
        self._address = settings.base_url
        self._vision = settings.vision
        self._asks_usage = True
        # A local server loads the model and reads a long prompt before it sends a first byte.
        self._http = PatientClient(
            patience or Patience(first_byte_seconds=settings.timeout_seconds)
        )
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        client = openai.AsyncOpenAI(
            api_key=key, base_url=self._address, max_retries=0, http_client=self._http
        )
        self._create: Any = client.chat.completions.create

    async def attempt(self, model: str, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """Ask once; the parts of the answer."""
        reader = ChatReader(request)
        async with await self._open(model, request) as stream:
            async for chunk in stream:
                for part in reader.feed(chunk.to_dict(warnings=False)):
                    yield part
        for part in reader.finish():
            yield part

    async def _open(self, model: str, request: ModelRequest) -> Any:
        body = chat_wire.body(request, model, vision=self._vision, asks_usage=self._asks_usage)
        try:
            return await self._create(**body, stream=True)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if not self._asks_usage or "stream_options" not in f"{error} {error.body}":
                raise
        self._asks_usage = False
        del body["stream_options"]
        return await self._create(**body, stream=True)

    def takes_schema(self, model: str, request: ModelRequest) -> bool:
        """Whether the API can be given the schema of an answer."""
        return chat_wire.takes_schema(model, request)

    def explain(self, error: Exception) -> ProviderError:
        """What an exception of the SDK says."""
        return openai_errors.explain(error, self._address)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
