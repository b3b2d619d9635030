"""Errors under `/openai/`: the same ones, in OpenAI's envelope."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.addresses import canonical_path
from runtime.errors import SandlotError

Json = dict[str, Any]
PREFIX = "/openai"
_UNKNOWN = re.compile(r"Unknown parameter '([^']+)'")
_FIELD = re.compile(r"([a-z_]+(?:\[\d+\]|\.[A-Za-z0-9_]+)*): ")
_OURS = {
    "previous_interaction_id": "previous_response_id",
    "system_instruction": "instructions",
    "labels": "metadata",
    "response_format": "text.format",
    "generation_config.tool_choice": "tool_choice",
    "generation_config": "temperature",
}
_CODES = {
    "unauthenticated": "invalid_api_key",
    "model_not_configured": "model_not_found",
    "resource_exhausted": "rate_limit_exceeded",
    "model_rate_limited": "rate_limit_exceeded",
}


def error_body(status: int, code: str, message: str) -> Json:
    """OpenAI's error object for one of ours."""
    param = None
    if unknown := _UNKNOWN.search(message):
        param, code = unknown[1], "unknown_parameter"
    elif field := _FIELD.match(message):
        param = field[1]
        for ours, theirs in _OURS.items():
            if param == ours or param.startswith((f"{ours}.", f"{ours}[")):
                param, message = theirs, theirs + message[len(param) :]
                break
    if code == "model_not_configured":
        param = "model"
    kind = _kind(status)
    error = {"message": message, "type": kind, "param": param, "code": _CODES.get(code, code)}
    return {"error": error}


def _kind(status: int) -> str:
    match status:
        case 401:
            return "authentication_error"
        case 403:
            return "permission_error"
        case 429:
            return "rate_limit_error"
        case _:
            return "server_error" if status >= 500 else "invalid_request_error"


def as_error(code: str, message: str) -> SandlotError:
    """The error that a run failed with, to be raised again."""
    for found in _classes(SandlotError):
        if found.code == code:
            return found(message)
    error = SandlotError(message)
    error.code = code
    return error


def _classes(root: type[SandlotError]) -> list[type[SandlotError]]:
    return [root, *(found for child in root.__subclasses__() for found in _classes(child))]


class OpenAIErrors:
    """Turns every error answer under `/openai/` into OpenAI's envelope, whoever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_ours = scope["type"] == "http" and _is_below(canonical_path(scope["path"]))
        if not is_ours:
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Translator(scope, receive, send))


def _is_below(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class _Translator:
    """A `send` that holds the body of an error back until it is whole."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._held: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._held = message
        elif self._held is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._answer(self._held)

    async def _answer(self, start: Message) -> None:
        status = start["status"]
        error = _error_in(self._body)
        if error["code"] == "model_not_configured":
            status = 404
        kept = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in start["headers"]
            if name.lower() not in {b"content-length", b"content-type"}
        ]
        answer = JSONResponse(error_body(status, error["code"], error["message"]), status)
        for name, value in kept:
            answer.headers.append(name, value)
        await answer(self._scope, self._receive, self._send)


def _error_in(body: bytes) -> dict[str, str]:
    try:
        error = json.loads(body)["error"]
        return {"code": str(error["code"]), "message": str(error["message"])}
    except (ValueError, KeyError, TypeError):
        return {"code": "internal", "message": "The request failed."}
