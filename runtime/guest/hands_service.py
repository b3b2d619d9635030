"""The hands' process: what it offers to the supervisor."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from runtime.errors import ToolFault
from runtime.guest.channel import Ends
from runtime.guest.cloning import Cloner
from runtime.guest.hands import Hands, HandsConfig
from runtime.guest.page_files import PageFiles
from runtime.guest.paths import Paths
from runtime.guest.service import Offer, Operation, Service, StreamOperation
from runtime.guest.streams import FileStreams
from runtime.guest.surroundings import find_surroundings
from runtime.guest.terminal import Terminals
from runtime.guest.tree import FileOperations, Tree

GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "agent",
    "GIT_AUTHOR_EMAIL": "agent@sandbox.invalid",
    "GIT_COMMITTER_NAME": "agent",
    "GIT_COMMITTER_EMAIL": "agent@sandbox.invalid",
}
INTERPRETER = os.environ.get("SANDLOT_PYTHON", "/usr/bin/python3")
SKELETON = Path("/etc/skel")
WORKSPACE = Path(os.environ.get("SANDLOT_WORKSPACE", "/workspace"))


async def serve_hands(ends: Ends) -> None:
    """Offer tools, operations and streams until the supervisor hangs up."""
    home = WORKSPACE / ".home"
    prepare(WORKSPACE, home)
    runtime_dir = Path(mkdtemp(prefix="hands-"))
    config = HandsConfig(WORKSPACE, runtime_dir, base_variables(WORKSPACE, home), INTERPRETER)
    async with Hands(config) as hands:
        terminals = Terminals(Paths(WORKSPACE, home), config.variables)
        cloner = Cloner(WORKSPACE, config.variables)
        offer = Offer(hands.tools, operations(hands, terminals, cloner), streams(terminals))
        await Service(offer).serve(ends)


def prepare(workspace: Path, home: Path) -> None:
    """Make what programs expect, as far as the workspace allows it.

    It may be full, closed to its owner, or have anything in the place of the home: whoever wants
    the files back needs the hands all the same.
    """
    with contextlib.suppress(OSError):
        workspace.chmod(stat.S_IMODE(workspace.stat().st_mode) | stat.S_IRWXU)
    with contextlib.suppress(OSError):
        if not home.exists():
            make_home(Path(os.path.realpath(home)))  # a link may lead to where nothing is any more
    make_package_folder(workspace)


def make_home(home: Path) -> None:
    """A home with the image's settings and caches, which save a first plot half a second."""
    if SKELETON.is_dir():
        shutil.copytree(SKELETON, home, symlinks=True)
    else:
        home.mkdir()


def make_package_folder(workspace: Path) -> None:
    """Where pip installs to: Python looks there only when it is there as the kernel starts."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with contextlib.suppress(OSError):  # a full disk: then nothing can be installed either
        folder = workspace / ".local" / "lib" / version / "site-packages"
        folder.mkdir(parents=True, exist_ok=True)


def base_variables(workspace: Path, home: Path) -> dict[str, str]:
    """The environment of everything that the agent starts; its own installs come first."""
    kept = {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
    return {
        **kept,
        "PATH": f"{workspace}/.local/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "USER": "agent",
        "SHELL": "/bin/bash",
        "PYTHONUSERBASE": f"{workspace}/.local",
        "npm_config_prefix": f"{workspace}/.local",
        **GIT_IDENTITY,
    }


def operations(hands: Hands, terminals: Terminals, cloner: Cloner) -> dict[str, Operation]:
    """What the supervisor asks of the hands beside tools."""

    async def configure(arguments: dict[str, Any]) -> Any:
        hands.configure(arguments["variables"])
        terminals.set_variables(arguments["variables"])
        cloner.set_variables(arguments["variables"])

    async def start_kernel(arguments: dict[str, Any]) -> Any:
        with contextlib.suppress(ToolFault):  # the first cell tries again, and says why
            await hands.kernel.start()

    async def surroundings(arguments: dict[str, Any]) -> Any:
        return find_surroundings(WORKSPACE)

    async def close(arguments: dict[str, Any]) -> Any:
        await hands.close()

    files = FileOperations(Tree(WORKSPACE))
    return {
        **PageFiles(WORKSPACE).operations(),
        "configure": configure,
        "start_kernel": start_kernel,
        "surroundings": surroundings,
        "close": close,
        "list_files": files.list_files,
        "delete": files.delete,
        "clone": cloner.clone,
    }


def streams(terminals: Terminals) -> dict[str, StreamOperation]:
    """The byte streams that the hands fill or read."""
    files = FileStreams(Tree(WORKSPACE))
    return {
        "read_file": files.read_file,
        "write_file": files.write_file,
        "read_tar": files.read_tar,
        "extract_tar": files.extract_tar,
        "terminal": terminals.terminal,
        "exec": terminals.execute,
    }
