"""Delivers an answer in spite of a provider's bad moments: retries, deadlines, errors made ours.

An attempt is repeated only as long as nothing of it was given on: an answer is never started
twice. Providers do one attempt each and know nothing of this.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Protocol

import anyio
import httpx2
import structlog

from runtime.clock import monotonic
from runtime.errors import ModelFault, ModelRefused, ModelUnavailable
from runtime.models.connection import what_broke
from runtime.models.faults import ProviderError, ProviderFailed, fault_of
from runtime.models.port import ModelInfo
from runtime.models.schemas import told
from runtime.schema.model import ModelPart, ModelRequest

_log = structlog.get_logger(__name__)
_chance = SystemRandom()
_ABOUT_SCHEMA = re.compile(
    r"schema|response.?format|output.?(config|format)|text\.format|mime.?type|json.?mode|grammar"
    r"|structured.?output",
    re.IGNORECASE,
)

UNREADABLE = (
    ValueError,
    KeyError,
    httpx2.HTTPError,
    httpx2.StreamError,
    OSError,
    anyio.EndOfStream,
)
"""What any SDK may let through when a connection breaks, or an answer is not what it should be."""


class Provider(Protocol):
    """One provider: an SDK and the translation to and from its wire."""

    errors: tuple[type[Exception], ...]
    """What its SDK raises."""

    def attempt(self, model: str, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """Ask once. The last part is `ModelDone`. Raises `errors` and `ProviderFailed`."""
        ...

    def takes_schema(self, model: str, request: ModelRequest) -> bool:
        """Whether the API has a way to ask `model` for an answer by `request.response_schema`."""
        ...

    def explain(self, error: Exception) -> ProviderError:
        """What one of `errors` says."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed call is repeated, and after how long."""

    max_retries: int = 4
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 30.0
    longest_retry_after_seconds: float = 60.0
    """A provider that asks for more gets its retry after this long."""

    def delay_seconds(self, attempt: int, asked_seconds: float | None, chance: float) -> float:
        """The pause after attempt number `attempt` (from 0): exponential with full jitter.

        `chance` is a random number from 0 to 1. What the provider asked for is the least.
        """
        ceiling = min(self.first_delay_seconds * 2**attempt, self.longest_delay_seconds)
        asked = min(asked_seconds or 0.0, self.longest_retry_after_seconds)
        return max(asked, ceiling * chance)


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a model is called."""

    retries: RetryPolicy
    timeout_seconds: float
    """For the whole call, retries and pauses included."""
    secrets: tuple[str, ...] = ()
    """What no error message may show."""
    refused_schemas: set[str] = field(default_factory=set[str])
    """Hashes of model and schema that the provider refused: the model is told in words."""


class RemoteModel:
    """A model behind a provider, which is made on first use: the SDKs take seconds to load."""

    def __init__(
        self,
        info: ModelInfo,
        name: str,
        provider: Callable[[], Awaitable[Provider]],
        terms: Terms,
    ) -> None:
        self._info = info
        self._name = name
        self._provider = provider
        self._terms = terms

    @property
    def info(self) -> ModelInfo:
        """What is known of it."""
        return self._info

    async def aclose(self) -> None:
        """Nothing to do: the provider is shared by its models and closed by the registry."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of one answer. Raises `ModelFault`."""
        provider = await self._provider()
        if self._needs_words(provider, request):
            request = told(request)
        deadline = monotonic() + self._terms.timeout_seconds
        attempt = 0
        while True:
            started = False
            error: ProviderError
            try:
                async with aclosing(provider.attempt(self._name, request)) as parts:
                    while (part := await self._next(parts, deadline)) is not None:
                        started = True
                        yield part
                return
            except ProviderFailed as failed:
                error = failed.error
            except provider.errors as failed:
                error = provider.explain(failed)
            except UNREADABLE as failed:
                error = ProviderError(what_broke(failed))
            if not started and self._is_about_schema(error, request):
                self._terms.refused_schemas.add(self._schema_key(request))
                request = told(request)
                continue
            # Raised out here, so that the SDK's exception, which may hold the key, is not chained.
            await self._pause(error, attempt, started, deadline)
            attempt += 1

    def _needs_words(self, provider: Provider, request: ModelRequest) -> bool:
        if request.response_schema is None:
            return False
        if self._schema_key(request) in self._terms.refused_schemas:
            return True
        return not provider.takes_schema(self._name, request)

    def _is_about_schema(self, error: ProviderError, request: ModelRequest) -> bool:
        if request.response_schema is None or not isinstance(self._fault(error), ModelRefused):
            return False
        return _ABOUT_SCHEMA.search(f"{error.code} {error.message}") is not None

    def _schema_key(self, request: ModelRequest) -> str:
        text = json.dumps([self._name, request.response_schema], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    async def _next(self, parts: AsyncGenerator[ModelPart], deadline: float) -> ModelPart | None:
        with anyio.move_on_after(max(0.0, deadline - monotonic())):
            return await anext(parts, None)
        raise self._too_slow()

    async def _pause(
        self, error: ProviderError, attempt: int, started: bool, deadline: float
    ) -> None:
        fault = self._fault(error)
        if started or not fault.retryable or attempt >= self._terms.retries.max_retries:
            raise fault
        seconds = self._terms.retries.delay_seconds(
            attempt, error.retry_after_seconds, _chance.random()
        )
        if monotonic() + seconds >= deadline:
            raise fault
        _log.info(
            "model_call_retried",
            model=self._info.target,
            attempt=attempt + 1,
            delay_seconds=round(seconds, 3),
            reason=fault.message,
        )
        await anyio.sleep(seconds)

    def _fault(self, error: ProviderError) -> ModelFault:
        return fault_of(error, self._info.provider, self._name, self._terms.secrets)

    def _too_slow(self) -> ModelFault:
        seconds = self._terms.timeout_seconds
        return ModelUnavailable(
            f"{self._info.target} did not finish its answer within {seconds:g} s "
            f"(models.providers.{self._info.provider}.timeout_seconds)."
        )
