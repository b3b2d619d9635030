"""The tools of one run in a sandbox: those of the hands, of the browser, and relayed ones."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import anyio

from runtime.errors import ToolFault
from runtime.guest.arguments import check_arguments
from runtime.guest.cgroup import read_pressure, what_was_hit
from runtime.guest.channel import ChannelClosed
from runtime.guest.processes import Processes
from runtime.guest.remote import Relay
from runtime.guest.roles import BROWSER, HANDS
from runtime.loop.ports import Emit
from runtime.schema.content import TextContent
from runtime.schema.model import FunctionDeclaration
from runtime.schema.protocol import RunSpec
from runtime.schema.sandbox_tools import SANDBOX_TOOLS, TOOL_GROUPS
from runtime.schema.steps import ToolCall, ToolResult

GRACE_SECONDS = 10.0
"""How much longer than its own timeout a tool gets before its process is killed, or given up."""


def time_advice(had_seconds: float, limit_seconds: float) -> str:
    """What a model is told whose code ran out of time: its own limit, or that of the agent."""
    if had_seconds < limit_seconds:
        return (
            "That was its timeout_seconds; a longer one may help, "
            f"up to {limit_seconds:g} (limits.tool_timeout)."
        )
    return (
        f"A tool has no more than {limit_seconds:g} s here (limits.tool_timeout of the agent, or "
        "less where the call asked for it): do it in parts, or start it in the background."
    )


class GuestToolbox:
    """The toolbox of one run."""

    def __init__(self, spec: RunSpec, relay: Relay, processes: Processes) -> None:
        self._sandbox = {name: SANDBOX_TOOLS[name] for name in spec.sandbox_tools}
        self._relayed = {tool.name: tool for tool in spec.relayed_tools}
        self._timeout = spec.limits.tool_timeout_seconds
        self._output_chars = spec.limits.output_chars
        self._relay = relay
        self._processes = processes
        self._pressure = read_pressure()

    @property
    def declarations(self) -> Sequence[FunctionDeclaration]:
        """The sandbox's tools, then the relayed ones."""
        return [*self._sandbox.values(), *self._relayed.values()]

    def locate(self, call: ToolCall) -> ToolCall:
        """Names of relayed tools of an MCP server are `server__tool`."""
        server, separator, name = call.name.partition("__")
        if separator and call.name in self._relayed:
            return ToolCall(call.id, name, call.arguments, server)
        return call

    async def run(self, call: ToolCall, emit: Emit) -> ToolResult:
        """Run one tool. Raises `ToolFault`."""
        name = f"{call.server}__{call.name}" if call.server else call.name
        if name in self._relayed:
            with anyio.move_on_after(self._timeout + GRACE_SECONDS):
                return await self._relay.call(name, call.arguments)
            raise ToolFault(
                f"{name} did not answer within {self._timeout:g} s (limits.tool_timeout)."
            )
        declaration = self._sandbox.get(name)
        if declaration is None:
            raise ToolFault(self._unknown(name))
        arguments = check_arguments(declaration, call.arguments)
        return await self._run_in_sandbox(name, arguments, emit)

    async def _run_in_sandbox(
        self, name: str, arguments: dict[str, object], emit: Emit
    ) -> ToolResult:
        timeout = self._timeout
        if name == "code_execution":
            asked = arguments.get("timeout_seconds", timeout)
            timeout = min(float(asked), timeout) if isinstance(asked, int | float) else timeout
            arguments = {
                **arguments,
                "timeout_seconds": timeout,
                "advice": time_advice(timeout, self._timeout),
                "output_chars": self._output_chars,
            }
        role = BROWSER if name in TOOL_GROUPS["browser"] else HANDS
        try:
            channel = await self._processes.reach(role)
            with anyio.move_on_after(timeout + GRACE_SECONDS):
                result = await channel.call(name, arguments, emit)
                if notes := self._hit():
                    result.content.append(TextContent(text="\n" + "\n".join(notes)))
                return result
        except ChannelClosed as error:
            died = (
                "The process that runs this tool died; it starts anew with the next call. "
                "Variables, shell state and open pages are lost; files are kept."
            )
            raise ToolFault(" ".join([died, *self._hit()])) from error
        except ToolFault as fault:
            raise ToolFault(" ".join([fault.message, *self._hit()])) from fault
        await self._processes.abandon(role)
        raise ToolFault(
            f"{name} did not stop {timeout:g} s after it started and was killed. "
            "Variables, shell state and open pages are lost; files are kept."
        )

    def _hit(self) -> list[str]:
        """Which limits of the sandbox were hit since this was last asked, or the run began."""
        before, self._pressure = self._pressure, read_pressure()
        return what_was_hit(before, self._pressure)

    def _unknown(self, name: str) -> str:
        known = [*self._sandbox, *self._relayed]
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        return f"There is no tool `{name}`.{hint} The tools are: {', '.join(known)}."
