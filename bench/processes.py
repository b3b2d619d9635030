"""What a process costs, as Linux counts it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.failures import NotMeasured


class ProcessCost:
    """The CPU time and the resident memory of one process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        self._before = 0

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, in the program and in the system for it."""
        text = (self._folder / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text[text.rindex(")") + 2 :].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Bytes of its memory now."""
        return self._read("VmRSS")

    def forget_peak(self) -> None:
        """Count the growth of its memory from here. Raises `OSError` when that is not allowed."""
        (self._folder / "clear_refs").write_text("5", encoding="ascii")
        self._before = self._read("VmRSS")

    def growth(self) -> int:
        """By how many bytes its memory was greater at its peak than when counting began."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        status = (self._folder / "status").read_text(encoding="utf-8", errors="replace")
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        if found is None:
            raise NotMeasured(f"This kernel does not tell {name} of a process.")
        return int(found[1]) * 1024
