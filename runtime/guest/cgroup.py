"""What the kernel says of the sandbox's limits: so that what hits one is told which it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_CROWDED = 0.9


@dataclass(frozen=True, slots=True)
class Pressure:
    """How often limits were hit since the sandbox began, and how full it is with processes."""

    oom_kills: int = 0
    refused_processes: int = 0
    processes: int = 0
    process_limit: int = 0
    """0 where there is none, or it is not told."""
    memory_limit: int = 0
    """Bytes; 0 where it is not told."""

    @property
    def is_crowded(self) -> bool:
        """Whether hardly another process can be started."""
        return bool(self.process_limit) and self.processes >= _CROWDED * self.process_limit


def read_pressure(root: Path = _ROOT) -> Pressure:
    """What is so now; zeros where the kernel does not tell. Knows both versions of cgroups."""
    memory, pids = root / "memory", root / "pids"
    return Pressure(
        oom_kills=_field((root / "memory.events", memory / "memory.oom_control"), "oom_kill"),
        refused_processes=_field((root / "pids.events", pids / "pids.events"), "max"),
        processes=_number((root / "pids.current", pids / "pids.current")),
        process_limit=_number((root / "pids.max", pids / "pids.max")),
        memory_limit=_number((root / "memory.max", memory / "memory.limit_in_bytes")),
    )


def what_was_hit(before: Pressure, after: Pressure) -> list[str]:
    """Sentences for whoever reads a result, about the limits that were hit in between."""
    said: list[str] = []
    if after.oom_kills > before.oom_kills:
        size = f" ({after.memory_limit // 1024**2} MiB)" if after.memory_limit else ""
        said.append(f"[the sandbox ran out of memory{size}: the kernel killed what used most]")
    if after.refused_processes > before.refused_processes:
        limit = after.process_limit
        said.append(f"[the sandbox is limited to {limit} processes and threads: more were refused]")
    return said


def _field(places: Iterable[Path], name: str) -> int:
    for place in places:
        lines = [line.split() for line in _text(place).splitlines()]
        for words in lines:
            if len(words) == 2 and words[0] == name and words[1].isdigit():
                return int(words[1])
    return 0


def _number(places: Iterable[Path]) -> int:
    texts = (_text(place).strip() for place in places)
    return next((int(text) for text in texts if text.isdigit()), 0)


def _text(place: Path) -> str:
    try:
        return place.read_text("ascii")
    except OSError:
        return ""
