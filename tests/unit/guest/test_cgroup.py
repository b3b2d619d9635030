from __future__ import annotations

from pathlib import Path

import pytest

from runtime.guest.cgroup import Pressure, read_pressure, what_was_hit

ONE = {
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "memory/memory.limit_in_bytes": "1073741824\n",
    "pids/pids.events": "max 7\n",
    "pids/pids.current": "700\n",
    "pids/pids.max": "768\n",
}
TWO = {
    "memory.events": "low 0\nhigh 0\nmax 12\noom 4\noom_kill 3\noom_group_kill 0\n",
    "memory.max": "1073741824\n",
    "pids.events": "max 7\n",
    "pids.current": "700\n",
    "pids.max": "768\n",
}


@pytest.mark.parametrize("files", [ONE, TWO])
def test_both_versions_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_pressure(tmp_path) == Pressure(3, 7, 700, 768, 1 << 30)
    assert read_pressure(tmp_path).is_crowded


def test_what_is_not_told_or_not_limited_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "pids.max").write_text("max\n")
    (tmp_path / "pids.current").write_text("5\n")
    found = read_pressure(tmp_path)
    assert found == Pressure(processes=5) and not found.is_crowded


def test_only_what_was_hit_in_between_is_said() -> None:
    before = Pressure(1, 1, 10, 768, 1 << 30)
    assert what_was_hit(before, before) == []
    memory, processes = what_was_hit(before, Pressure(2, 9, 768, 768, 1 << 30))
    assert "1024 MiB" in memory and "768 processes" in processes
