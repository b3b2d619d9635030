"""What must be so on the host after every attempt, whatever was tried in a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.sandlot import RunningController


@dataclass(frozen=True)
class HostState:
    """What the kernel and Docker show of an installation."""

    mounts: frozenset[str]
    loops: frozenset[str]
    sandboxes: frozenset[str]


def state_of(controller: RunningController) -> HostState:
    """The mounts, loop devices and containers of one controller."""
    folder = str(controller.folder.path)
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    backing = [path.read_text().strip() for path in _loops() if path.exists()]
    containers = controller.containers()
    return HostState(
        mounts=frozenset(Path(place).name for place in mounts if place.startswith(folder)),
        loops=frozenset(Path(place).stem for place in backing if place.startswith(folder)),
        sandboxes=frozenset(one.labels["dev.sandlot.environment"] for one in containers),
    )


def check(controller: RunningController) -> None:
    """The API answers, and each mount and loop device belongs to a sandbox that lives."""
    assert controller.client.is_ready(), "the controller does not answer"
    found = state_of(controller)
    assert found.mounts == found.sandboxes, "a mount without a sandbox, or the other way round"
    assert found.loops <= found.sandboxes, "a loop device stayed behind"


def check_nothing_left(controller: RunningController) -> None:
    """After the controller has stopped."""
    assert state_of(controller) == HostState(frozenset(), frozenset(), frozenset())


def _loops() -> list[Path]:
    return list(Path("/sys/block").glob("loop*/loop/backing_file"))
