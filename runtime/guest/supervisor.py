"""The supervisor: takes commands from the controller, runs the loop, keeps the hands going."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, TaskGroup, UNIXSocketStream

from runtime.errors import SandlotError
from runtime.guest.channel import Handed
from runtime.guest.link import Link
from runtime.guest.network import merged, publish
from runtime.guest.nursery import NurseryClient
from runtime.guest.processes import Processes
from runtime.guest.remote import Relay, RemoteModel
from runtime.guest.roles import BROWSER, HANDS
from runtime.guest.sink import RunSink
from runtime.guest.toolbox import GuestToolbox
from runtime.loop.prompt import FoundSkill, Surroundings, compose
from runtime.loop.run import Run
from runtime.schema.framing import encode_frame
from runtime.schema.protocol import (
    Bind,
    Bound,
    CancelRun,
    ControllerMessage,
    EventsStored,
    Fault,
    GuestReport,
    ModelCallFailed,
    ModelParts,
    OpenStream,
    RelayResult,
    Reply,
    Request,
    RunEnded,
    RunOutcome,
    RunSpec,
    Shutdown,
    StartRun,
    StreamEnd,
    StreamHello,
)

REPORT_SECONDS = 5.0


class ActiveRun:
    """A run and the parts that commands about it go to."""

    def __init__(self, spec: RunSpec, link: Link) -> None:
        self.spec = spec
        self.scope = anyio.CancelScope()
        self.sink = RunSink(spec.run_id, link.send)
        self.model = RemoteModel(link, spec.run_id)
        self.relay = Relay(link, spec.run_id)
        self.outcome: RunOutcome | None = None


class OutgoingStream:
    """The frames around the raw bytes of a byte-stream connection."""

    def __init__(self, connection: UNIXSocketStream, stream_id: str) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._introduced = False

    async def introduced(self, _: str) -> None:
        """The hands have sent the hello."""
        self._introduced = True

    async def finish(self, end: StreamEnd, with_verdict: bool) -> None:
        """Say how it went, in the way that the direction and the progress allow."""
        if not self._introduced and end.error is not None:
            await self._send(StreamHello(stream_id=self._stream_id, error=end.error))
        elif with_verdict:
            await self._send(end)

    async def _send(self, message: StreamHello | StreamEnd) -> None:
        try:
            await self._connection.send(encode_frame(message.model_dump(exclude_none=True)))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the reader hung up; nobody is left to tell


class Supervisor:
    """One per sandbox. `serve` runs until the controller says `shutdown`."""

    def __init__(self, socket_path: Path, control: socket.socket) -> None:
        self._link = Link(socket_path, uuid.uuid4().hex)
        self._processes = Processes(NurseryClient(control))
        self._run: ActiveRun | None = None
        self._has_network = False

    async def serve(self) -> None:
        """Serve the controller."""
        async with anyio.create_task_group() as tasks:
            self._tasks: TaskGroup = tasks
            tasks.start_soon(self._report)
            await self._processes.open(tasks)
            await self._link.run(self._handle, self._connected)

    async def _connected(self) -> None:
        if self._run is not None:
            await self._run.model.connection_lost()
            await self._run.sink.resend()
            if self._run.outcome is not None:
                self._tasks.start_soon(self._announce, self._run)

    async def _handle(self, message: ControllerMessage) -> None:
        match message:
            case Bind():
                self._tasks.start_soon(self._bind, message)
            case StartRun():
                self._start_run(message.spec)
            case CancelRun():
                self._cancel_run(message.run_id)
            case Request():
                self._tasks.start_soon(self._answer, message)
            case OpenStream():
                self._tasks.start_soon(self._open_stream, message)
            case Shutdown():
                await self._shut_down()
            case _:
                await self._deliver(message)

    async def _deliver(
        self, message: EventsStored | ModelParts | ModelCallFailed | RelayResult
    ) -> None:
        run = self._run
        if run is None:
            return
        match message:
            case EventsStored():
                if message.run_id == run.spec.run_id:
                    await run.sink.stored(message.upto)
            case RelayResult():
                await run.relay.deliver(message)
            case _:
                await run.model.deliver(message)

    # Runs

    def _start_run(self, spec: RunSpec) -> None:
        if self._run is not None and self._run.outcome is None:
            return
        self._run = ActiveRun(spec, self._link)
        self._tasks.start_soon(self._execute, self._run)

    def _cancel_run(self, run_id: str) -> None:
        if self._run is not None and self._run.spec.run_id == run_id:
            self._run.scope.cancel()
            return
        # Cancelled before it was handed over: whoever waits for its end is told.
        ended = RunEnded(run_id=run_id, outcome=RunOutcome(status="cancelled"))
        self._tasks.start_soon(self._link.send, ended)

    async def _execute(self, run: ActiveRun) -> None:
        async with anyio.create_task_group() as pumps:
            pumps.start_soon(run.sink.pump)
            outcome = RunOutcome(status="cancelled")
            with run.scope:
                outcome = await self._loop(run)
            run.outcome = outcome
            await self._announce(run)
            pumps.cancel_scope.cancel()

    async def _announce(self, run: ActiveRun) -> None:
        assert run.outcome is not None
        await run.sink.flush()
        await self._link.send(RunEnded(run_id=run.spec.run_id, outcome=run.outcome))

    async def _loop(self, run: ActiveRun) -> RunOutcome:
        surroundings = await self._surroundings()
        instruction = compose(run.spec.system_instruction, surroundings)
        spec = run.spec.model_copy(update={"system_instruction": instruction})
        toolbox = GuestToolbox(spec, run.relay, self._processes)
        return await Run(spec, run.model, toolbox, run.sink).execute()

    async def _surroundings(self) -> Surroundings:
        try:
            channel = await self._processes.reach(HANDS)
            found = await channel.operate("surroundings", {})
        except SandlotError:
            return Surroundings(has_network=self._has_network)
        skills = [FoundSkill(**skill) for skill in found["skills"]]
        return Surroundings(has_network=self._has_network, skills=skills, memory=found["memory"])

    async def _bind(self, message: Bind) -> None:
        if message.network is not None:
            publish(message.network.certificates)
            await self._processes.open_network()
        self._has_network = message.network is not None
        await self._processes.configure(merged(message.variables, message.network))
        await self._link.send(Bound())

    # Requests and streams

    async def _answer(self, request: Request) -> None:
        try:
            channel = await self._processes.reach(HANDS)
            value = await channel.operate(request.operation, request.arguments)
            reply = Reply(request_id=request.request_id, value=value)
        except SandlotError as error:
            fault = Fault(code=error.code, message=error.message)
            reply = Reply(request_id=request.request_id, error=fault)
        await self._link.send(reply)

    async def _open_stream(self, message: OpenStream) -> None:
        connection = await self._link.dial()
        stream = OutgoingStream(connection, message.stream_id)
        descriptor = connection.extra(SocketAttribute.raw_socket).fileno()
        async with connection:
            try:
                channel = await self._processes.reach(HANDS)
                handed = Handed(descriptor, message.stream_id)
                value = await channel.stream(
                    message.operation, message.arguments, handed, stream.introduced
                )
                end = StreamEnd(value=value)
            except SandlotError as error:
                end = StreamEnd(error=Fault(code=error.code, message=error.message))
            await stream.finish(end, message.direction == "to_guest")

    async def _report(self) -> None:
        while True:
            await anyio.sleep(REPORT_SECONDS)
            alive = self._processes.is_alive
            await self._link.send(
                GuestReport(kernel_alive=alive(HANDS), browser_alive=alive(BROWSER))
            )

    async def _shut_down(self) -> None:
        await self._processes.close()
        self._tasks.cancel_scope.cancel()


def supervisor_main(socket_path: Path, control: socket.socket) -> None:
    """The whole life of the supervisor process."""
    anyio.run(Supervisor(socket_path, control).serve)
