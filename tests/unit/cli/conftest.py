from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shell import Shell
from tests.support.wire_controller import KEY, Wire, serving


@pytest.fixture
def sandlot(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving(Wire()) as serving_wire:
        yield serving_wire


@pytest.fixture
def connected(sandlot: Shell, wire: Wire) -> Shell:
    """A command line whose controller is `wire`."""
    sandlot.variables |= {"SANDLOT_URL": wire.url, "SANDLOT_API_KEY": KEY}
    return sandlot
