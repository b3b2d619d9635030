"""What a provider said went wrong, and which of our errors that is. Pure; no SDK is known here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from runtime.errors import (
    ContextExceeded,
    ModelAuthFailed,
    ModelFault,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)

LONGEST_MESSAGE = 2000
"""Characters of a provider's message that are kept."""

_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context window"
    r"|(exceeds?|larger than|beyond) the (available|model'?s) context|context (size|limit|length)"
    r"|prompt is too long|input token count .{0,40}exceeds|too many tokens in the prompt"
    r"|request_too_large",
    re.IGNORECASE,
)
_UNPAID = re.compile(r"insufficient_quota|billing_error|credit balance is too low", re.IGNORECASE)
_BAD_KEY = re.compile(
    r"authentication_error|permission_error|invalid_api_key|api_key_invalid|api key not valid"
    r"|unauthenticated|permission_denied",
    re.IGNORECASE,
)
_TOO_FAST = re.compile(r"rate_limit|resource_exhausted|too_many_requests", re.IGNORECASE)
_OUR_FAULT = re.compile(
    r"invalid|bad_request|not_found|policy|unsupported|image|too_(large|small)", re.IGNORECASE
)
_SECRET = re.compile(r"\b(sk-[A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{20,})")
_HIDDEN = "[key]"
_MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A failed call in the provider's own terms."""

    message: str
    status: int | None = None
    """HTTP status; None when there was no answer, or the error came inside a stream."""
    code: str = ""
    """The provider's words for the kind of error, joined with blanks."""
    retry_after_seconds: float | None = None


class ProviderFailed(Exception):
    """An attempt to call a provider failed; `error` says how."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(error.message)
        self.error = error


def fault_of(error: ProviderError, provider: str, model: str, secrets: Iterable[str]) -> ModelFault:
    """Our error for the provider's, in a sentence without secrets."""
    said = redacted(_text(error.message), secrets)[:LONGEST_MESSAGE].strip() or "no reason given"
    status = f" ({error.status})" if error.status else ""
    match _kind(error):
        case "context":
            return ContextExceeded(f"The conversation is too long for {provider}/{model}: {said}")
        case "auth":
            return ModelAuthFailed(
                f"{provider} does not accept its key{status}: {said} "
                f"Check models.providers.{provider}.api_key in sandlot.yaml."
            )
        case "unpaid":
            return ModelAuthFailed(f"{provider} wants to be paid{status}: {said}")
        case "rate":
            return ModelRateLimited(f"{provider} limits the rate of requests{status}: {said}")
        case "down":
            return ModelUnavailable(f"{provider} cannot answer now{status}: {said}")
        case "missing":
            return ModelRefused(f"{provider} has no model {model!r}{status}: {said}")
        case _:
            return ModelRefused(f"{provider} did not accept the request{status}: {said}")


def _text(message: str) -> str:
    """The message, and of an HTML page its text."""
    if not message.lstrip()[:100].lower().startswith(("<!doctype", "<html")):
        return message
    return " ".join(_MARKUP.sub(" ", message).split())


def _kind(error: ProviderError) -> str:
    words = f"{error.code} {error.message}"
    status = error.status if error.status != 200 else None
    if status in {None, 400, 413, 422, 500} and _CONTEXT.search(words):
        return "context"
    if status == 402 or _UNPAID.search(words):
        return "unpaid"
    if status in {401, 403} or _BAD_KEY.search(error.code) or "API key not valid" in words:
        return "auth"
    if status is None:
        return _kind_of_words(error.code)
    return _kind_of_status(status)


def _kind_of_status(status: int) -> str:
    if status == 404:
        return "missing"
    if status == 413:
        return "context"
    if status == 429:
        return "rate"
    return "down" if status >= 500 or status in {408, 409, 425} else "refused"


def _kind_of_words(code: str) -> str:
    """Without a status, as inside a stream: what is not clearly our fault is the provider's."""
    if _TOO_FAST.search(code):
        return "rate"
    return "refused" if _OUR_FAULT.search(code) else "down"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, also where they stand URL-encoded, and without likely keys."""
    for secret in secrets:
        for spelling in {secret, quote(secret, safe="")}:
            if len(spelling) >= 4:
                text = text.replace(spelling, _HIDDEN)
    return _SECRET.sub(_HIDDEN, text)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header: a number, or a date; None when unreadable."""
    if not value:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
