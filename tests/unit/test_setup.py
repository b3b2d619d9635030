"""What the set-up says before it changes anything, and the list of targets."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def setup(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/setup"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_old_python_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\ncase "$*" in *-V*) echo Python 3.9.2;; *) exit 1;; esac\n', "utf-8"
    )
    python.chmod(0o755)
    done = setup(PATH=f"{tmp_path}:{os.environ['PATH']}", SANDLOT_STATE_DIR=str(tmp_path / "state"))
    assert done.returncode == 1
    assert done.stderr.startswith("Sandlot needs Python 3.11 or newer, and python3 here is 3.9.2")
    assert done.stderr.count("\n") == 1


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    done = setup(SANDLOT_STATE_DIR=str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert "cannot be written: set SANDLOT_STATE_DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE)
    assert listed == phony.split()


def test_every_recipe_is_one_line() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in makefile.split("\n\n")[1:]:
        assert len([line for line in target.splitlines() if line.startswith("\t")]) == 1, target


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "tests/contract/acceptance/previous.lock",
        *(f"sandbox-image/{n}-requirements.lock" for n in ("agent", "guest", "node")),
    ],
)
def test_a_lock_names_hashes_and_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    packages = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"https?:|file:|index-url|find-links", text)


def test_the_javascript_lock_names_hashes_and_no_registry() -> None:
    text = (ROOT / "tests/contract/acceptance/javascript/package-lock.json").read_text("utf-8")
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert packages["node_modules/@google/genai"]["version"] == "3.1.0"
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert not re.search(r'"resolved"|\.tgz', text)
