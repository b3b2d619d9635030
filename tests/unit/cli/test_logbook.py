"""Where a controller's log goes, when it cannot go there."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

LOGS = """
import structlog
from runtime.cli.logbook import open_logbook
open_logbook()
for number in range(3000):
    structlog.get_logger("x").warning("something to say", number=number)
print("still here", flush=True)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_on_a_full_disk_is_lost_and_nothing_else() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-c", LOGS], stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert done.stdout == b"still here\n"


def test_a_log_that_nobody_reads_any_more_is_lost_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOGS], stdout=subprocess.PIPE, stderr=writing, check=False
        )
    finally:
        os.close(writing)
    assert done.stdout == b"still here\n"


def test_what_a_sandbox_printed_does_not_steer_the_terminal() -> None:
    says = """
import structlog
from runtime.cli.logbook import open_logbook
open_logbook()
structlog.get_logger("x").warning("lost", log="\\x1b]52;c;AAAA\\x07\\x9b2Jnoise")
"""
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", says], stderr=theirs, check=True)
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "noise" in shown
    assert "\x1b]" not in shown and "\x9b" not in shown and "\x07" not in shown
