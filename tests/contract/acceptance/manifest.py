"""Which acceptance case is tested by which kind of client, or why it is not.

`manifest.toml` says what must be tested; the tests say which cases they are for. `gaps` compares.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COUNT = 78
BLOCKING, AIO, JAVASCRIPT, HTTP = "sync", "aio", "javascript", "http"
PREVIOUS_BLOCKING, PREVIOUS_AIO = "previous-sync", "previous-aio"
PYTHON = (BLOCKING, AIO, PREVIOUS_BLOCKING, PREVIOUS_AIO)
SDKS = (*PYTHON, JAVASCRIPT)
KINDS = (*SDKS, HTTP)
_FILE = Path(__file__).with_name("manifest.toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One case: tested by `kinds` (all SDKs where none is named), or not yet (`later`)."""

    about: str
    later: str = ""
    kinds: tuple[str, ...] = SDKS
    because: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A test of one or more cases, written once for some kinds of client."""

    name: str
    cases: tuple[int, ...]
    kinds: tuple[str, ...] = field(default=PYTHON)


def load(text: str | None = None) -> dict[int, Entry]:
    """The manifest by case number. Raises `TypeError` or `ValueError` when it cannot be read."""
    tables = tomllib.loads(text if text is not None else _FILE.read_text(encoding="utf-8"))["case"]
    return {int(number): _entry(table) for number, table in tables.items()}


def _entry(table: Mapping[str, Any]) -> Entry:
    fields: dict[str, Any] = {**table, "kinds": tuple(table.get("kinds", SDKS))}
    return Entry(**fields)


def gaps(entries: Mapping[int, Entry], tests: Iterable[Proof]) -> list[str]:
    """What is missing or does not fit together, a sentence each; empty when all is well."""
    found = [f"case {n} is not in the manifest" for n in range(1, COUNT + 1) if n not in entries]
    tested: dict[int, set[str]] = {}
    names: set[tuple[str, str]] = set()
    for test in tests:
        for kind in test.kinds:
            if (test.name, kind) in names:
                found.append(f"two tests for {kind} are called {test.name!r}")
            names.add((test.name, kind))
        for number in test.cases:
            tested.setdefault(number, set()).update(test.kinds)
    for number, entry in entries.items():
        found += [f"case {number}: {one}" for one in _wrong(entry, tested.pop(number, set()))]
    return [*found, *(f"case {number} is tested but there is no such case" for number in tested)]


def _wrong(entry: Entry, tested: set[str]) -> list[str]:
    if entry.later:
        return ["is tested, but the manifest says 'later'"] if tested else []
    found = [f"{kind!r} is no kind of client" for kind in {*entry.kinds, *tested} - {*KINDS}]
    if not entry.kinds or (set(entry.kinds) != set(SDKS) and not entry.because):
        found.append("some SDK is left out and 'because' does not say why")
    return [*found, *(f"no test for {kind}" for kind in entry.kinds if kind not in tested)]
