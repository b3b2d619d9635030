from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runtime.errors import (
    ContextExceeded,
    ModelAuthFailed,
    ModelFault,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)
from runtime.models.delivery import RetryPolicy
from runtime.models.faults import ProviderError, fault_of, redacted, retry_after

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "message", "fault"),
    [
        (400, "context_length_exceeded", "maximum context length is 8", ContextExceeded),
        (400, "", "The input token count (9) exceeds the maximum number", ContextExceeded),
        (400, "exceed_context_size_error", "exceeds the available context", ContextExceeded),
        (413, "request_too_large", "Request exceeds 32 MB", ContextExceeded),
        (500, "", "the prompt is larger than the context window", ContextExceeded),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass one.", ModelAuthFailed),
        (401, "", "no", ModelAuthFailed),
        (403, "PERMISSION_DENIED", "no", ModelAuthFailed),
        (402, "billing_error", "pay", ModelAuthFailed),
        (429, "insufficient_quota", "You exceeded your current quota", ModelAuthFailed),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", ModelRateLimited),
        (404, "not_found_error", "model: x", ModelRefused),
        (400, "invalid_request_error", "bad", ModelRefused),
        (422, "", "bad", ModelRefused),
        (307, "", "moved", ModelRefused),
        (408, "", "slow", ModelUnavailable),
        (409, "", "busy", ModelUnavailable),
        (500, "", "oops", ModelUnavailable),
        (529, "overloaded_error", "Overloaded", ModelUnavailable),
        (200, "overloaded_error", "Overloaded", ModelUnavailable),
        (200, "rate_limit_error", "slow", ModelRateLimited),
        (200, "invalid_request_error", "bad", ModelRefused),
        (None, "", "no connection", ModelUnavailable),
        (None, "authentication_error", "who are you", ModelAuthFailed),
        (None, "something_new", "hm", ModelUnavailable),
        (None, "invalid_prompt", "hm", ModelRefused),
        (None, "context_length_exceeded", "hm", ContextExceeded),
    ],
)
def test_which_error_it_is(
    status: int | None, code: str, message: str, fault: type[ModelFault]
) -> None:
    made = fault_of(ProviderError(message, status, code), "mine", "m", [])
    assert type(made) is fault
    assert message in made.message
    assert "mine" in made.message


def test_only_what_may_pass_is_retryable() -> None:
    assert ModelRateLimited.retryable
    assert ModelUnavailable.retryable
    assert not any(kind.retryable for kind in (ModelRefused, ModelAuthFailed, ContextExceeded))


def test_a_page_of_html_becomes_its_text() -> None:
    page = "<!DOCTYPE html><html><style>p {x}</style><body><h1>Bad\n gateway</h1></body></html>"
    made = fault_of(ProviderError(page, 502), "mine", "m", [])
    assert made.message == "mine cannot answer now (502): Bad gateway"


def test_a_message_has_bounded_length() -> None:
    assert len(fault_of(ProviderError("x" * 10**6, 500), "mine", "m", []).message) < 2100


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key abc/def+1 is wrong", "key [key] is wrong"),
        ("?key=abc%2Fdef%2B1&x", "?key=[key]&x"),
        ("sk-proj-0123456789abcdefXYZ is wrong", "[key] is wrong"),
        ("AIza0123456789012345678901234567890", "[key]"),
        ("sk-short stays", "sk-short stays"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text, ["abc/def+1", ""]) == shown


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("soon", None),
        ("-3", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 99999999999 12:00:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds
    assert retry_after("Thu, 01 Jan 2026 12:00:30 GMT", NOW + timedelta(seconds=10)) == 20.0


@pytest.mark.parametrize(
    ("attempt", "asked", "chance", "seconds"),
    [
        (0, None, 1.0, 0.5),
        (0, None, 0.0, 0.0),
        (3, None, 0.5, 2.0),
        (20, None, 1.0, 30.0),
        (0, 7.0, 0.5, 7.0),
        (0, 600.0, 0.5, 60.0),
        (6, 1.0, 1.0, 30.0),
    ],
)
def test_how_long_to_wait(attempt: int, asked: float | None, chance: float, seconds: float) -> None:
    assert RetryPolicy().delay_seconds(attempt, asked, chance) == seconds
