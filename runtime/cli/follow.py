"""Following a run live: its events to a presenter, interrupts to its cancellation."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from runtime.cli.presenter import Presenter
from runtime.cli.transcript import Transcript
from runtime.client import AsyncClient
from runtime.client.discovery import Endpoint
from runtime.errors import SandlotError

CANCEL_SECONDS = 15.0
"""How long to wait after the first interrupt for the run to end."""


@dataclass(slots=True)
class Ending:
    """How the following ended."""

    status: str | None = None
    """The status of the interaction, where its last event was seen."""
    interrupted: bool = False
    timed_out: bool = False


class Follower:
    """Follows one interaction until it has settled, is interrupted, or the time is up."""

    def __init__(self, identifier: str, presenter: Presenter, transcript: Transcript) -> None:
        self._id = identifier
        self._presenter = presenter
        self._transcript = transcript
        self.ending = Ending()

    async def follow(self, endpoint: Endpoint, *, cancels: bool, timeout: float | None) -> Ending:
        """Show everything. With `cancels` an interrupt or the timeout cancels the run."""
        problem: SandlotError | None = None
        async with (
            AsyncClient(endpoint.url, endpoint.api_key) as client,
            anyio.create_task_group() as group,
        ):
            group.start_soon(self._watch_interrupts, client, group, cancels)
            if timeout is not None:
                group.start_soon(self._watch_time, client, group, timeout)
            try:
                await self._show(client)
            except SandlotError as fault:
                problem = fault
            group.cancel_scope.cancel()
        if problem is not None:
            raise problem
        return self.ending

    async def _show(self, client: AsyncClient) -> None:
        async with client.interactions.stream(self._id) as stream:
            async for event in stream:
                for item in self._transcript.feed(event.wire):
                    self._presenter.show(item)
                if event.event_type == "interaction.completed" and event.interaction:
                    self.ending.status = event.interaction.get("status")

    async def _watch_interrupts(self, client: AsyncClient, group: TaskGroup, cancels: bool) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                leave = self.ending.interrupted or not cancels
                self.ending.interrupted = True
                if leave:
                    group.cancel_scope.cancel()
                    return
                self._presenter.note("cancelling the run; interrupt again to leave at once")
                group.start_soon(self._cancel, client, group)

    async def _watch_time(self, client: AsyncClient, group: TaskGroup, timeout: float) -> None:
        await anyio.sleep(timeout)
        self.ending.timed_out = True
        self._presenter.note(f"cancelling the run: it is not done after {timeout:g} s")
        await self._cancel(client, group)

    async def _cancel(self, client: AsyncClient, group: TaskGroup) -> None:
        """Ask for the end, then give the stream a while to bring the last events."""
        with anyio.move_on_after(CANCEL_SECONDS):
            try:
                await client.interactions.cancel(self._id)
            except SandlotError as fault:
                self._presenter.note(f"the run could not be cancelled: {fault.message}")
            else:
                await anyio.sleep_forever()
        group.cancel_scope.cancel()
