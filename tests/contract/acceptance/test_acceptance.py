"""The acceptance cases by number, each with every official SDK (see `manifest.toml`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest

from tests.contract.acceptance.manifest import AIO, BLOCKING, HTTP, Proof
from tests.contract.acceptance.registry import all_tests, python_tests
from tests.contract.acceptance.workers import Worker
from tests.contract.acceptance.world import Place, world

pytestmark = [pytest.mark.anyio, pytest.mark.docker, pytest.mark.timeout(180)]

HERE = (BLOCKING, AIO, HTTP)


def _title(test: Proof) -> str:
    return f"{'+'.join(map(str, test.cases))} {test.name}"


def _matrix() -> list[Any]:
    return [
        pytest.param(test, kind, id=f"{_title(test)} {kind}")
        for test in sorted(all_tests(), key=lambda test: test.cases)
        for kind in test.kinds
    ]


@pytest.mark.parametrize(("test", "kind"), _matrix())
async def test_case(
    test: Proof,
    kind: str,
    place: Place,
    worker_of: Callable[[str], Worker],
) -> None:
    if kind not in HERE:
        await anyio.to_thread.run_sync(worker_of(kind).run, test.name, kind)
        return
    async with world(place, kind) as made:
        await python_tests()[test](made)
