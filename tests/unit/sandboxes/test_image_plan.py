from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from runtime.sandboxes.image_plan import (
    BOOTSTRAPPED_BASE,
    DEFAULT_BASE,
    ContextFile,
    base_candidates,
    bootstrap_command,
    content_hash,
    explain,
    is_disk_full,
    labels_of,
    pack,
    parse_step,
    protocol_of,
    tag_of,
)

FILES = [ContextFile("Dockerfile", b"FROM x"), ContextFile("steps/a", b"echo", executable=True)]


def test_the_order_of_files_does_not_change_the_name() -> None:
    assert content_hash(FILES, "base") == content_hash(FILES[::-1], "base")


@pytest.mark.parametrize(
    "changed",
    [
        [ContextFile("Dockerfile", b"FROM y"), FILES[1]],
        [ContextFile("dockerfile", b"FROM x"), FILES[1]],
        [FILES[0], ContextFile("steps/a", b"echo")],
        FILES[:1],
        [],
    ],
)
def test_whatever_is_in_the_image_changes_the_name(changed: list[ContextFile]) -> None:
    assert content_hash(changed, "base") != content_hash(FILES, "base")


def test_the_base_changes_the_name() -> None:
    assert content_hash(FILES, "other") != content_hash(FILES, "base")


def test_host_settings_do_not_change_the_name() -> None:
    trusted = [*FILES, ContextFile("trust/ca.crt", b"of this host")]
    assert content_hash(trusted, "base") == content_hash(FILES, "base")


def test_a_name_is_one_that_docker_takes() -> None:
    assert tag_of("0.2.0+local", "0123456789ab") == "sandlot/sandbox:0.2.0-local-0123456789ab"


def test_an_image_says_which_protocol_it_speaks() -> None:
    assert protocol_of(labels_of("0.1.0", 7, "abc")) == 7


@pytest.mark.parametrize("labels", [{}, {"sandlot.image.protocol": "new"}])
def test_an_image_of_someone_else_speaks_none(labels: dict[str, str]) -> None:
    assert protocol_of(labels) is None


def test_a_packed_context_is_the_same_every_time() -> None:
    packed = pack(FILES)
    assert packed == pack(FILES[::-1])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {entry.name: (entry.mode, entry.mtime, entry.uid) for entry in archive}
    assert found == {"Dockerfile": (0o644, 0, 0), "steps/a": (0o755, 0, 0)}


def test_a_wanted_base_is_the_only_candidate() -> None:
    assert base_candidates("mine:1") == ("mine:1",)
    assert base_candidates(None) == (DEFAULT_BASE, BOOTSTRAPPED_BASE)
    assert base_candidates("") == (DEFAULT_BASE, BOOTSTRAPPED_BASE)


def test_steps_have_names_for_people() -> None:
    step = parse_step("Step 5/22 : RUN sh /steps/debian\n")
    assert step is not None
    assert (step.number, step.total) == (5, 22)
    assert step.what.startswith("installing the packages of Debian")


def test_a_small_step_belongs_to_what_came_before() -> None:
    step = parse_step("Step 1/2 : ENV A=1 \\\n    B=2")
    assert step is not None
    assert (step.number, step.what) == (1, "")


def test_every_named_step_is_one_of_the_recipe() -> None:
    recipe = (Path(__file__).parents[3] / "sandbox-image/Dockerfile").read_text("utf-8")
    named = [parse_step(f"Step 1/1 : {line}") for line in recipe.splitlines()]
    assert len([step for step in named if step and step.what]) == 6


@pytest.mark.parametrize("line", ["", " ---> 4233b57ddbf7", "Get:1 Step 1/2 : x", "Step 1 of 2"])
def test_other_lines_are_no_steps(line: str) -> None:
    assert parse_step(line) is None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("E: Failed to fetch x  403  Forbidden", "A download was refused"),
        ("Temporary failure resolving 'mirror'", "A download was refused"),
        ("ERROR: No matching distribution found for numpy==9", "A download was refused"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "A download's certificate"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "A download is not the file"),
        ("sh: 1: syntax error", "It failed."),
    ],
)
def test_a_failure_is_explained_in_one_sentence(output: str, expected: str) -> None:
    sentence = explain(f"some\n{output}\nlines", "It failed.")
    assert sentence.startswith(expected)
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write /x: no space left on device", True),
        ("E: You don't have enough free space in /var/cache/apt/archives/", True),
        ("E: ... : Not enough free space", True),
        ("all is well", False),
    ],
)
def test_a_full_disk_is_told_by_its_words(text: str, expected: bool) -> None:
    assert is_disk_full(text) is expected


def test_a_bootstrap_uses_the_mirrors_of_this_machine() -> None:
    assert bootstrap_command("boot", "http://a/debian\nhttp://b/security\n", "trixie") == [
        "boot",
        "trixie",
        "deb http://a/debian trixie main",
        "deb http://a/debian trixie-updates main",
        "deb http://b/security trixie-security main",
    ]


def test_a_bootstrap_without_mirrors_uses_the_default_one() -> None:
    assert bootstrap_command("boot", "", "trixie") == ["boot", "trixie"]


def test_a_bootstrap_does_without_a_security_mirror() -> None:
    assert bootstrap_command("boot", "http://a/debian\n\n", "trixie")[-1].endswith("-updates main")
