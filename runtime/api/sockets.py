"""WebSockets to an environment: a terminal, and a command with its own streams.

From the client come binary frames (keys, or input of the command) and the JSON texts
`{"resize": [rows, columns]}` and `{"eof": true}`; `exec` wants `{"argv": [...], "cwd": null}`
first. To the client go binary frames, of `exec` with a first byte 1 for output and 2 for errors,
and at the end `{"exit_status": n}` or `{"error": {"code", "message"}}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from anyio.abc import SocketStream
from fastapi import APIRouter, Query, WebSocket
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from runtime.api.auth import REFUSAL, CallerDep
from runtime.api.bodies import parse_json
from runtime.api.creation import staying
from runtime.api.environments import EnvironmentsDep
from runtime.api.services import services_of
from runtime.controller.environments import EnvironmentService
from runtime.controller.presence import Stay
from runtime.errors import InvalidRequest, SandboxLost, SandlotError, Unauthenticated
from runtime.schema.conversation import Piece, PieceError, PieceKind, PieceReader, size_piece

router = APIRouter(tags=["environments"])

MAX_SIDE = 2000
MAX_STATUS = 255
FIRST_MESSAGE_SECONDS = 30.0
_READ_BYTES = 65536
_CHANNELS = {PieceKind.OUTPUT: b"\x01", PieceKind.ERRORS: b"\x02"}


@router.websocket("/environments/{environment_id}/terminal")
async def open_terminal(
    websocket: WebSocket,
    environment_id: str,
    caller: CallerDep,
    services: EnvironmentsDep,
    rows: Annotated[int, Query(ge=1, le=MAX_SIDE)] = 24,
    cols: Annotated[int, Query(ge=1, le=MAX_SIDE)] = 80,
    term: str = "",
) -> None:
    """A shell in the environment's sandbox."""
    await services.environments.get(caller.project_id, environment_id)
    arguments = {"rows": rows, "cols": cols, "term": term[:40]}
    with staying(services_of(websocket), caller) as stay:
        await websocket.accept()
        talk = Talk(websocket, services.environments, environment_id, stay)
        await talk.hold("terminal", arguments, tagged=False)


@router.websocket("/environments/{environment_id}/exec")
async def execute(
    websocket: WebSocket, environment_id: str, caller: CallerDep, services: EnvironmentsDep
) -> None:
    """One command in the environment's sandbox."""
    await services.environments.get(caller.project_id, environment_id)
    with staying(services_of(websocket), caller) as stay:
        await websocket.accept()
        try:
            arguments = await _command(websocket)
        except InvalidRequest as error:
            await _end(websocket, error)
            return
        talk = Talk(websocket, services.environments, environment_id, stay)
        await talk.hold("exec", arguments, tagged=True)


async def _command(websocket: WebSocket) -> dict[str, Any]:
    try:
        with anyio.fail_after(FIRST_MESSAGE_SECONDS):
            asked = parse_json((await websocket.receive_text()).encode())
    except (InvalidRequest, KeyError, TimeoutError) as error:
        raise InvalidRequest('The first message must be {"argv": [...], "cwd": null}.') from error
    match asked:
        case {"argv": [str(), *_] as argv, **rest} if all(isinstance(one, str) for one in argv):
            return {"argv": argv, "cwd": rest.get("cwd")}
        case _:
            raise InvalidRequest("argv: must be a list of strings with at least one.")


@dataclass(frozen=True, slots=True)
class Talk:
    """A WebSocket and the environment that it is to."""

    websocket: WebSocket
    environments: EnvironmentService
    environment_id: str
    stay: Stay

    async def hold(self, operation: str, arguments: dict[str, Any], *, tagged: bool) -> None:
        """Run something there until it ends, the client goes, or the key is revoked."""
        status: int | None = None
        try:
            with self.stay.scope:
                status = await self._exchanged(operation, arguments, tagged=tagged)
        except SandlotError as error:
            await _end(self.websocket, error)
            return
        if self.stay.is_ended:
            await _end(self.websocket, Unauthenticated(REFUSAL))
        elif status is not None:
            await self.websocket.send_text(json.dumps({"exit_status": status}))
            await self.websocket.close()

    async def _exchanged(
        self, operation: str, arguments: dict[str, Any], *, tagged: bool
    ) -> int | None:
        project_id = self.stay.caller.project_id
        async with self.environments.converse(
            project_id, self.environment_id, operation, arguments
        ) as (_, stream):
            return await _exchange(self.websocket, stream, tagged=tagged)


async def _exchange(websocket: WebSocket, stream: SocketStream, *, tagged: bool) -> int | None:
    """Pass both directions on; the exit status, or None when the client went away."""
    status: int | None = None
    lost = False

    async def from_guest() -> None:
        nonlocal status, lost
        try:
            status = await _pass_output(websocket, stream, tagged=tagged)
        except (anyio.EndOfStream, anyio.BrokenResourceError, PieceError):
            lost = True
        except WebSocketDisconnect:
            pass  # nobody is left to tell; leaving ends the command
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(from_guest)
        await _pass_input(websocket, stream)
        tasks.cancel_scope.cancel()
    if lost:
        raise SandboxLost("The sandbox went away.")
    return status


async def _pass_output(websocket: WebSocket, stream: SocketStream, *, tagged: bool) -> int:
    reader = PieceReader()
    while True:
        for piece in reader.feed(await stream.receive(_READ_BYTES)):
            if piece.kind is PieceKind.STATUS:
                return _exit_status(piece.data)
            if piece.kind in _CHANNELS:
                tag = _CHANNELS[piece.kind] if tagged else b""
                await websocket.send_bytes(tag + piece.data)


def _exit_status(data: bytes) -> int:
    """What a guest says the status is. Raises `PieceError` for what is none."""
    if not data.isdigit() or len(data) > 3 or int(data) > MAX_STATUS:
        raise PieceError("an exit status that is none")
    return int(data)


async def _pass_input(websocket: WebSocket, stream: SocketStream) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        piece = _piece_of(message)
        if piece is None:
            continue
        try:
            await stream.send(piece.encode())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await anyio.sleep_forever()  # the other direction learns why and ends this


def _piece_of(message: Message) -> Piece | None:
    data = message.get("bytes")
    if data is not None:
        return Piece(PieceKind.INPUT, data)
    try:
        said = parse_json((message.get("text") or "").encode())
    except InvalidRequest:
        return None
    match said:
        case {"resize": [int(rows), int(columns)]} if 0 < rows <= MAX_SIDE >= columns > 0:
            return size_piece(rows, columns)
        case {"eof": True}:
            return Piece(PieceKind.END)
        case _:
            return None


async def _end(websocket: WebSocket, error: SandlotError) -> None:
    fault = {"error": {"code": error.code, "message": error.message}}
    try:
        await websocket.send_text(json.dumps(fault))
        await websocket.close(1011, error.code)
    except (WebSocketDisconnect, RuntimeError):
        return  # the client was faster
