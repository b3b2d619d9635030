"""The service processes of a sandbox as the supervisor sees them: reached, configured, killed."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
from anyio.abc import TaskGroup

from runtime.errors import SandlotError, ToolFault
from runtime.guest.channel import Channel, ChannelClosed
from runtime.guest.network import PROXY
from runtime.guest.nursery import NurseryClient
from runtime.guest.roles import BROWSER, HANDS, Role

CLOSE_SECONDS = 2.0
_FOR_BROWSER = frozenset({"read_page_file", "write_page_file", "append_page_file"})
"""What the browser's process may ask of the hands."""


class Processes:
    """Starts hands and browser when they are needed, and again after they died."""

    def __init__(self, nursery: NurseryClient) -> None:
        self._nursery = nursery
        self._variables: dict[str, str] | None = None
        self._proxy: str | None = None
        self._channels: dict[Role, Channel] = {}
        self._lock = anyio.Lock()

    async def open(self, tasks: TaskGroup) -> None:
        """Start the hands with their kernel; channels live in `tasks`.

        Hands that died come back without it: what a kernel loads at its start may have ended them,
        and would again, before anybody could use the shell or have the files.
        """
        self._tasks = tasks
        tasks.start_soon(_start_kernel, await self.reach(HANDS))

    def is_alive(self, role: Role) -> bool:
        """Whether the process of `role` is there."""
        channel = self._channels.get(role)
        return channel is not None and not channel.is_closed

    async def reach(self, role: Role) -> Channel:
        """The channel to the process of `role`, started anew where it is not there."""
        async with self._lock:
            channel = self._channels.get(role)
            if channel is None or channel.is_closed:
                channel = await self._spawn(role)
            return channel

    async def open_network(self) -> None:
        """Start the relay; the browser uses it when it is started next. Raises `SandboxFault`."""
        self._nursery.serve_relay()
        self._proxy = PROXY
        if self.is_alive(BROWSER):
            await self.abandon(BROWSER)

    async def configure(self, variables: dict[str, str]) -> None:
        """Give the hands their environment variables, now and after every restart."""
        channel = await self.reach(HANDS)
        self._variables = variables
        try:
            await channel.operate("configure", {"variables": variables})
        except ChannelClosed:
            await self.reach(HANDS)  # these died just now; new ones are given them as they start

    async def abandon(self, role: Role) -> None:
        """Kill the process of `role` and everything it started."""
        self._nursery.kill(role)
        channel = self._channels.pop(role, None)
        if channel is not None:
            await channel.aclose()

    async def close(self) -> None:
        """Let every process end cleanly, within `CLOSE_SECONDS` each."""
        for channel in self._channels.values():
            with anyio.move_on_after(CLOSE_SECONDS):
                await _close(channel)

    async def _spawn(self, role: Role) -> Channel:
        channel = await Channel.over(self._nursery.spawn(role), self._asked)
        self._channels[role] = channel
        self._tasks.start_soon(channel.run)
        if role is HANDS and self._variables is not None:
            await channel.operate("configure", {"variables": self._variables})
        if role is BROWSER:
            await channel.operate("configure", {"proxy": self._proxy})
        return channel

    async def _asked(self, name: str, arguments: dict[str, Any]) -> Any:
        if name not in _FOR_BROWSER:
            raise ToolFault(f"{name} is not offered.")
        hands = await self.reach(HANDS)
        return await hands.operate(name, arguments)


async def _start_kernel(channel: Channel) -> None:
    with contextlib.suppress(SandlotError):  # the next call finds the hands gone, and says so
        await channel.operate("start_kernel", {})


async def _close(channel: Channel) -> None:
    try:
        await channel.operate("close", {})
    except SandlotError:
        await channel.aclose()
