"""What the operating system grants this process."""

from __future__ import annotations

import resource

OPEN_FILES = 65_536
"""As many as anyone needs; more makes some programs slow that are started from here."""


def raise_open_files() -> int:
    """Allow as many open files and connections as the hard limit does; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
