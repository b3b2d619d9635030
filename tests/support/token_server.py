"""A token endpoint on loopback that takes refresh tokens (RFC 6749), and its odd relatives."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from tests.support.web import serving


@dataclass
class TokenServer:
    """What it takes, what it gives, and what it saw."""

    url: str = ""
    client: tuple[str, str] = ("client", "client-secret")
    refresh_tokens: set[str] = field(default_factory=lambda: {"refresh-0"})
    lifetime: Any = 3600
    rotates: bool = False
    wants_header: bool = False
    """Takes the client's secret as Basic only."""
    answer: Response | None = None
    """Is given whatever is asked."""
    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    given: list[str] = field(default_factory=list[str])
    asked: anyio.Event = field(default_factory=anyio.Event)
    may_answer: anyio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            answer = await self._answer(Request(scope, receive))
            await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = (await request.body()).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.forms.append(form)
        self.asked.set()
        if self.may_answer is not None:
            await self.may_answer.wait()
        if self.answer is not None:
            return self.answer
        if self._client(request, form) != self.client:
            return JSONResponse({"error": "invalid_client"}, 401)
        if form.get("refresh_token") not in self.refresh_tokens:
            return JSONResponse({"error": "invalid_grant", "error_description": body}, 400)
        return JSONResponse(self._token(form))

    def _client(self, request: Request, form: dict[str, str]) -> tuple[str, str] | None:
        scheme, _, packed = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(packed).decode().partition(":")
            return unquote_plus(name), unquote_plus(secret)
        if self.wants_header:
            return None
        return form.get("client_id", ""), form.get("client_secret", "")

    def _token(self, form: dict[str, str]) -> dict[str, Any]:
        token = f"access-token-{len(self.given)}"
        self.given.append(token)
        found = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        if self.rotates:
            self.refresh_tokens = {f"refresh-{len(self.given)}"}
            found["refresh_token"] = f"refresh-{len(self.given)}"
        return found


def moved(to: str) -> Response:
    return RedirectResponse(to, 307)


def plain(status: int, body: Any) -> Response:
    return Response(body if isinstance(body, str) else json.dumps(body), status)


@asynccontextmanager
async def token_server() -> AsyncIterator[TokenServer]:
    server = TokenServer()
    async with serving(server) as port:
        server.url = f"http://127.0.0.1:{port}/token"
        yield server
