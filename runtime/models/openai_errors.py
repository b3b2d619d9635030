"""What the OpenAI SDK's exceptions say; used for every server that is called with that SDK."""

from __future__ import annotations

import re

import openai

from runtime.clock import now
from runtime.models.connection import what_broke
from runtime.models.faults import ProviderError, retry_after


def explain(error: Exception, address: str) -> ProviderError:
    """One exception of the SDK in the provider's terms; `address` is where the server is."""
    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        milliseconds = retry_after(headers.get("retry-after-ms"), now())
        seconds = retry_after(headers.get("retry-after"), now())
        return ProviderError(
            _message(error),
            status=error.status_code,
            code=_code(error),
            retry_after_seconds=milliseconds / 1000 if milliseconds is not None else seconds,
        )
    if isinstance(error, openai.APIConnectionError):
        return ProviderError(f"no connection to {address}: {what_broke(error)}")
    if isinstance(error, openai.APIError):
        # Inside a stream, some servers put the HTTP status into the code.
        code = error.code or ""
        status = int(code) if re.fullmatch(r"[45]\d\d", code) else None
        return ProviderError(_message(error), status=status, code=_code(error))
    return ProviderError(what_broke(error))


def _message(error: openai.APIError) -> str:
    body = error.body
    if isinstance(body, dict):
        said = body.get("message") or body.get("error") or body.get("detail")
        if said:
            return str(said)
    return body if isinstance(body, str) and body else error.message


def _code(error: openai.APIError) -> str:
    return " ".join(str(kind) for kind in (error.type, error.code) if kind)
