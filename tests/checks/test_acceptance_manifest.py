"""Every acceptance case of the wire contract has its tests, or says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.acceptance.manifest import AIO, COUNT, JAVASCRIPT, Entry, Proof, gaps, load
from tests.contract.acceptance.registry import all_tests

ENTRIES = {number: Entry("something") for number in range(1, COUNT + 1)}
PROOFS = [
    Proof("in Python", tuple(ENTRIES)),
    Proof("in JavaScript", tuple(ENTRIES), (JAVASCRIPT,)),
]


def test_every_case_has_a_test_for_every_kind_of_client() -> None:
    assert gaps(load(), all_tests()) == []


def test_the_javascript_tests_are_all_found() -> None:
    """What the pattern does not find is not run."""
    from tests.contract.acceptance.registry import HERE, javascript_tests

    files = (HERE / "javascript").glob("cases_*.mjs")
    calls = sum(path.read_text(encoding="utf-8").count("acceptance(") for path in files)
    assert len(javascript_tests()) == calls > 30


def test_a_whole_manifest_has_no_gaps() -> None:
    assert gaps(ENTRIES, PROOFS) == []


@pytest.mark.parametrize(
    ("entries", "proofs", "gap"),
    [
        (
            {n: entry for n, entry in ENTRIES.items() if n != 7},
            PROOFS,
            "case 7 is not in the manifest",
        ),
        (ENTRIES, PROOFS[:1], "case 3: no test for javascript"),
        (
            ENTRIES,
            [replace(PROOFS[0], kinds=("sync",)), PROOFS[1]],
            f"case 3: no test for {AIO}",
        ),
        (
            {**ENTRIES, 4: Entry("x", later="not there")},
            PROOFS,
            "case 4: is tested, but the manifest says 'later'",
        ),
        (
            {**ENTRIES, 4: Entry("x", kinds=("http",))},
            PROOFS,
            "case 4: some SDK is left out and 'because' does not say why",
        ),
        ({**ENTRIES, 4: Entry("x", kinds=("fax",))}, PROOFS, "case 4: 'fax' is no kind of client"),
        (ENTRIES, [*PROOFS, Proof("more", (79,))], "case 79 is tested but there is no such case"),
        (ENTRIES, [*PROOFS, PROOFS[1]], "two tests for javascript are called 'in JavaScript'"),
    ],
)
def test_each_gap_is_told(entries: dict[int, Entry], proofs: list[Proof], gap: str) -> None:
    assert gap in gaps(entries, proofs)
