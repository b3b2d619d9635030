"""Calls Google's models through generateContent with Google's SDK."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import anyio
import httpx2
from google import genai
from google.genai import errors, types

from runtime.clock import now
from runtime.models import google_wire
from runtime.models.connection import Patience, PatientClient, noting, what_broke
from runtime.models.faults import ProviderError, retry_after
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.settings import ProviderSettings

ADDRESS = "https://generativelanguage.googleapis.com"
# A model that thinks hard and shows no summaries sends nothing for minutes.
PATIENCE = Patience(between_chunks_seconds=300.0)


class GoogleProvider:
    """One key for the Gemini API."""

    errors: tuple[type[Exception], ...] = (errors.APIError, httpx2.HTTPError)

    def __init__(self, settings: ProviderSettings, patience: Patience = PATIENCE) -> None:
        self._address = settings.base_url or ADDRESS
        self._vision = settings.vision
        self._http = PatientClient(patience)
        options = types.HttpOptions(base_url=self._address, httpx_async_client=self._http)
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        self._client = genai.Client(vertexai=False, api_key=key, http_options=options)
        self._create: Any = self._client.aio.models.generate_content_stream

    async def attempt(self, model: str, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """Ask once; the parts of the answer."""
        reader = google_wire.ChunkReader(request)
        arguments = google_wire.request_of(request, model, vision=self._vision)
        responses: list[httpx2.Response] = []
        async with aclosing(await self._create(**arguments)) as stream:
            try:
                with noting(responses):
                    chunk = await anext(stream, None)
                while chunk is not None:
                    for part in reader.feed(_plain(chunk)):
                        yield part
                    chunk = await anext(stream, None)
            finally:
                # The SDK closes a response that was not read to its end only when the garbage
                # collector finds it.
                with anyio.move_on_after(1.0, shield=True):
                    for response in responses:
                        await response.aclose()
        for part in reader.finish():
            yield part

    def takes_schema(self, model: str, request: ModelRequest) -> bool:
        """Whether the API can be given the schema of an answer."""
        return google_wire.takes_schema(model, request)

    def explain(self, error: Exception) -> ProviderError:
        """What an exception of the SDK says."""
        if not isinstance(error, errors.APIError):
            return ProviderError(f"no connection to {self._address}: {what_broke(error)}")
        return ProviderError(
            error.message or str(error),
            status=error.code,
            code=error.status or "",
            retry_after_seconds=_retry_after(error),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        self._client.close()
        await self._http.aclose()


def _plain(chunk: Any) -> dict[str, Any]:
    return chunk.model_dump(mode="json", exclude_none=True, warnings=False)


def _retry_after(error: errors.APIError) -> float | None:
    """The wait that a header asks for, or a `RetryInfo` such as `"retryDelay": "17s"`."""
    headers: Any = getattr(error.response, "headers", None) or {}
    seconds = retry_after(headers.get("retry-after"), now())
    if seconds is not None:
        return seconds
    found = re.search(r"'retryDelay': '(\d+(?:\.\d+)?)s'", str(error.details))
    return float(found[1]) if found else None
