"""The hands: everything that runs as the agent's own user, put together for a service to offer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.errors import ToolFault
from runtime.guest.cgroup import Pressure, read_pressure
from runtime.guest.files import FileTools
from runtime.guest.kernel import Kernel
from runtime.guest.kernel_process import KernelLaunch
from runtime.guest.output import OutputFolder, OutputLimits
from runtime.guest.paths import Paths
from runtime.guest.shell import Shell
from runtime.guest.tools import Emit, Tool
from runtime.schema.content import TextContent
from runtime.schema.steps import ToolResult

QUIET_VARIABLES = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "npm_config_progress": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    "PYTHONUNBUFFERED": "1",
    "MPLBACKEND": "Agg",
}
"""Keep programs from asking, paging, colouring and drawing progress: nobody watches."""
_KERNEL_VARIABLES = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


@dataclass(frozen=True, slots=True)
class HandsConfig:
    """Where the hands work and with what."""

    workspace: Path
    runtime_dir: Path
    """Private to the hands, short (it holds unix sockets), gone with the sandbox."""
    variables: Mapping[str, str]
    """The environment of everything that is started; `PATH` and `HOME` must be in it."""
    interpreter: str = "python3"
    """The Python that has ipykernel and the agent's packages."""
    default_timeout_seconds: float = 300.0
    outputs: OutputLimits = field(default_factory=OutputLimits)


class Hands:
    """An async context manager; leaving it ends the kernel, the shell and what they started."""

    def __init__(self, config: HandsConfig) -> None:
        self._config = config
        outputs = OutputFolder(config.workspace / ".sandlot" / "outputs", config.outputs)
        self._outputs = outputs
        quiet = {**config.variables, **QUIET_VARIABLES}
        launch = KernelLaunch(config.interpreter, config.workspace, {**quiet, **_KERNEL_VARIABLES})
        self.kernel = Kernel(launch, config.runtime_dir / "k", outputs)
        self.shell = Shell(config.workspace, quiet, config.runtime_dir / "s", outputs)
        paths = Paths(config.workspace, Path(config.variables["HOME"]))
        files = FileTools(paths, quiet, config.outputs.text_chars)
        self.tools: dict[str, Tool] = {"code_execution": self._execute, **files.by_name()}

    async def __aenter__(self) -> Hands:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.shell)
        await self._stack.enter_async_context(self.kernel)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(exc_type, exc_value, traceback)

    def configure(self, variables: Mapping[str, str]) -> None:
        """Give the environment's own variables to what runs and what will be started."""
        self.kernel.set_variables(variables)
        self.shell.set_variables(variables)

    async def close(self) -> None:
        """End everything that was started, within a second; may be called twice."""
        self.shell.close()
        await self.kernel.close()

    async def _execute(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        language = arguments.get("language", "python")
        timeout = arguments.get("timeout_seconds", self._config.default_timeout_seconds)
        if timeout <= 0:
            raise ToolFault("timeout_seconds must be above 0.")
        self._outputs.set_text_limit(arguments.get("output_chars"))
        notes = self._make_room(read_pressure())
        advice = arguments.get("advice", "")
        result = await self._run(language, arguments["code"], emit, timeout, advice)
        notes += self._make_room(read_pressure())
        if notes:
            result.content.append(TextContent(text="\n" + "\n".join(notes)))
        return result

    def _make_room(self, pressure: Pressure) -> list[str]:
        """End what the shell started when hardly a process can be started any more."""
        if not pressure.is_crowded or not self.shell.clear():
            return []
        return [
            f"[{pressure.processes} of at most {pressure.process_limit} processes and threads "
            "were in use: everything that the shell had started was ended]"
        ]

    async def _run(
        self, language: str, code: str, emit: Emit, timeout: float, advice: str
    ) -> ToolResult:
        match language:
            case "python":
                return await self.kernel.run(code, emit, timeout, advice)
            case "bash":
                return await self.shell.run(code, emit, timeout, advice)
            case _:
                raise ToolFault(
                    f"Code in {language} cannot be run. Use python or bash; with bash you can "
                    "start the interpreters of other languages, such as node."
                )
