"""Runs tests for another process: a message a line on standard input, an answer a line back."""

from __future__ import annotations

import json
import sys
import traceback

import anyio

from tests.contract.acceptance.registry import Run, python_tests
from tests.contract.acceptance.world import Place, world


async def _run(run: Run, place: Place, kind: str) -> None:
    async with world(place, kind) as made:
        await run(made)


def main() -> None:
    """Serve until standard input ends."""
    place = Place(**json.loads(sys.stdin.readline()))
    runs = {test.name: run for test, run in python_tests().items()}
    for line in sys.stdin:
        asked = json.loads(line)
        error = None
        try:
            anyio.run(_run, runs[asked["test"]], place, asked["kind"])
        except BaseException:  # noqa: BLE001 - whatever it is, it is this test's
            error = traceback.format_exc()
        print(json.dumps({"error": error}), flush=True)


if __name__ == "__main__":
    main()
