"""Errors on the wire: one JSON envelope for all of them, never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from runtime.errors import Internal, SandlotError
from runtime.ids import new_id
from runtime.schema.resources import ErrorBody

log = structlog.get_logger(__name__)

_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    499: "cancelled",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


_MEANINGS = {
    400: "The request is not valid; the message names what is wrong.",
    401: "The API key is missing or not valid.",
    403: "The key may not do this, or the controller does not answer to this host or origin.",
    404: "There is no such thing.",
    409: "It exists already, or is in a state that does not allow this.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    416: "There are no such bytes in the file.",
    429: "Too much at once; try again later.",
    499: "The run was cancelled before it had an answer.",
    500: "Sandlot made a mistake; its log says more.",
    502: "The model provider answered with an error.",
    503: "What is needed for this cannot be used now.",
    507: "The disk of the controller is full.",
}
_ALWAYS = (401, 403, 500, 503)
_RETRYABLE = (429, 503, 507)
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds, where it helps.", "schema": {"type": "string"}}
}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}


def documented(
    *statuses: int, body: type[BaseModel] = ErrorBody
) -> dict[int | str, dict[str, Any]]:
    """The error answers of a guarded route, for the OpenAPI document."""
    found = sorted({*statuses, *_ALWAYS})
    return {status: _documented(status, body) for status in found}


def _documented(status: int, body: type[BaseModel]) -> dict[str, Any]:
    answer: dict[str, Any] = {"model": body, "description": _MEANINGS[status]}
    if status in _RETRYABLE:
        answer["headers"] = _RETRY_AFTER
    if status == 401:
        answer["headers"] = _CHALLENGE
    return answer


def envelope(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An answer with the error object."""
    return JSONResponse(
        {"error": {"code": code, "message": message}}, status, headers=dict(headers or {})
    )


def fault_response(error: SandlotError) -> JSONResponse:
    """The answer that `error` means."""
    headers: dict[str, str] = {}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retryable:
        headers["Retry-After"] = str(error.retry_seconds)
    message = error.message.encode("utf-8", "replace").decode()
    return envelope(error.http_status, error.code, message, headers)


def add_handlers(app: FastAPI) -> None:
    """Turn what routes raise into answers."""

    async def fault(connection: Request | WebSocket, error: Exception) -> Response:
        assert isinstance(error, SandlotError)
        if error.http_status >= 500:
            log.warning("request failed", code=error.code, message=error.message)
        # Starlette sends this to a WebSocket that is not open yet, too.
        return fault_response(error)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            return _method_not_allowed(request)
        code = _CODES.get(error.status_code, "invalid_request")
        return envelope(error.status_code, code, _sentence(error), error.headers)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return envelope(400, "invalid_request", _explain(error))

    app.add_exception_handler(SandlotError, fault)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)


def _method_not_allowed(request: Request) -> Response:
    allowed = [method for method in _METHODS if _takes(request, method)]
    message = f"This address takes {', '.join(allowed)} only, not {request.method[:20]}."
    return envelope(405, _CODES[405], message, {"Allow": ", ".join(allowed)})


def _takes(request: Request, method: str) -> bool:
    # A route names the methods of itself only, and several routes have the same address.
    scope = {**request.scope, "method": method}
    routes = request.app.router.routes
    return any(route.matches(scope)[0] is Match.FULL for route in routes)


def _sentence(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is nothing at this address; see /docs."
    return str(error.detail)


def _explain(error: RequestValidationError) -> str:
    found: list[str] = []
    for detail in error.errors():
        name = ".".join(str(part) for part in detail["loc"][1:])
        found.append(f"{name}: {detail['msg'][:1].lower()}{detail['msg'][1:]}.")
    return " ".join(found)


class LastResort:
    """Answers what no handler took: 500 with a number that the log knows too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._app(scope, receive, _Denial(scope, receive, send))
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watched = _Answer(scope, receive, send)
        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            answer = _unexpected(error, scope)
            if watched.started:
                # The status is out; closing the connection is the only honest end.
                raise
            await answer(scope, receive, send)


class _Answer:
    """A `send` that knows whether an answer has begun, and puts every error into the envelope."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_replaced = False
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = Headers(raw=message["headers"])
            # Parts of the framework, such as ranges of files, have errors of their own.
            is_json = headers.get("content-type", "").startswith("application/json")
            if message["status"] >= 400 and not is_json:
                self._is_replaced = True
                await self._replace(message["status"], headers)
        if not self._is_replaced:
            await self._send(message)

    async def _replace(self, status: int, headers: Headers) -> None:
        meant = "A header of the request cannot be read." if status == 400 else None
        message = meant or _MEANINGS.get(status, "The request cannot be served.")
        answer = envelope(status, _CODES.get(status, "invalid_request"), message)
        for name, value in headers.items():
            if name not in {"content-type", "content-length"}:
                answer.headers[name] = value
        await answer(self._scope, self._receive, self._send)


class _Denial:
    """A `send` of a WebSocket that says why there is none, where nothing was said about it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_first = True

    async def __call__(self, message: Message) -> None:
        is_first, self._is_first = self._is_first, False
        if is_first and message["type"] == "websocket.close":
            answer = envelope(404, _CODES[404], "There is no WebSocket at this address; see /docs.")
            await answer(self._scope, self._receive, self._send)
        else:
            await self._send(message)


def _unexpected(error: Exception, scope: Scope) -> JSONResponse:
    cause = _only(error)
    if isinstance(cause, SandlotError):
        return fault_response(cause)
    number = new_id("error")
    path = shown_path(scope["path"])
    log.exception("request failed", error_id=number, method=scope["method"], path=path)
    return fault_response(Internal(f"Sandlot made a mistake; its log says more under {number}."))


def shown_path(path: str) -> str:
    """An address for the log: the end of an upload's address is the right to it."""
    return f"{path.rpartition('/')[0]}/..." if path.startswith("/upload/") else path


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
