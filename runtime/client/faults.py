"""The errors that a client sees: those of the controller, by its code, and two of the way there."""

from __future__ import annotations

import json
from typing import Any

from runtime import errors
from runtime.errors import SandlotError


class ControllerUnreachable(SandlotError, ConnectionError):
    """The controller cannot be reached."""

    code = "controller_unreachable"
    http_status = 503
    retryable = True


class ConnectionLost(ControllerUnreachable):
    """The connection to the controller broke in the middle; what was asked may have been done."""

    code = "connection_lost"


class UnexpectedAnswer(SandlotError):
    """What answered is not a Sandlot controller, or not one of this version."""

    code = "unexpected_answer"
    http_status = 502


_BY_STATUS: dict[int, type[SandlotError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.PayloadTooLarge,
    429: errors.ResourceExhausted,
    501: errors.NotImplementedYet,
    503: errors.SandboxFault,
    507: errors.StorageFull,
}


def _by_code() -> dict[str, type[SandlotError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {kind.code: kind for kind in kinds if issubclass(kind, SandlotError)}


_BY_CODE = _by_code()


def fault_of(status: int, body: bytes) -> SandlotError:
    """The error that an answer with a status of 400 or more stands for.

    Its class follows the wire's code, else the status; `code`, `http_status` and `message` are the
    wire's own.
    """
    code, message = _read(body)
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status) or SandlotError
    fault = kind(message or f"the controller answered with HTTP status {status}")
    fault.http_status = status
    if code:
        fault.code = code
    return fault


def fault_in(record: dict[str, Any]) -> SandlotError:
    """The error in `{"error": {"code", "message"}}`."""
    code = (record.get("error") or {}).get("code")
    kind = _BY_CODE.get(code or "", SandlotError)
    return fault_of(kind.http_status, json.dumps(record).encode())


def _read(body: bytes) -> tuple[str | None, str | None]:
    text = body.decode("utf-8", "replace")
    try:
        parsed: Any = json.loads(text)
    except ValueError:
        return None, text.strip()[:500] or None
    match parsed:
        case {"error": {"message": str(message), **rest}}:
            code = rest.get("code")
            return (code if isinstance(code, str) else None), message
        case _:
            return None, text.strip()[:500] or None
