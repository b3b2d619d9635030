"""What `sandlot run` sends: task, files and environment, checked before anything starts."""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.cli.exits import Misuse
from runtime.cli.places import WORKSPACE
from runtime.cli.wording import size
from runtime.client.requests import CreateParams

MAX_FILE_BYTES = 1_000_000
MAX_TOTAL_BYTES = 2_000_000
"""What the API takes inline; more goes into an environment with `sandlot cp`."""


STANDARD_INPUT = "-"
"""Given as the task, it says that the task comes from there."""


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What the command line asked for."""

    agent: str
    task: str | None = None
    model: str | None = None
    files: list[Path] = field(default_factory=list[Path])
    environment: str | None = None
    background: bool = False
    as_json: bool = False
    show: bool = True
    download: bool = True
    output: Path | None = None
    timeout: float | None = None
    state_dir: Path | None = None


def read_task(task: str | None) -> str | None:
    """The task; `-` is all of standard input, as UTF-8. Raises `Misuse` when nothing is there."""
    if task != STANDARD_INPUT:
        return task
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as fault:
        raise Misuse(f"the task on standard input is not UTF-8 text: {fault}") from None
    if not text.strip():
        raise Misuse("no task: nothing came on standard input")
    return text


def target_of(file: Path) -> str:
    """Where a file of `--file` goes."""
    return f"{WORKSPACE}/{file.name}"


def check_files(files: list[Path]) -> None:
    """Raise `Misuse` for what is no file, and for two that would get one name."""
    names = [file.name for file in files]
    for file in files:
        if file.is_dir():
            raise Misuse(
                f"{file} is a folder: copy it into an environment with `sandlot cp {file} ENV:` "
                "and run there with --environment ENV"
            )
        if not file.is_file():
            raise Misuse(f"there is no file {file}")
        if names.count(file.name) > 1:
            raise Misuse(f"two files are named {file.name}: they would replace each other")


def create_params(order: RunOrder, task: str) -> CreateParams:
    """The request for an order. Files for an environment that exists are uploaded beforehand."""
    params: CreateParams = {"agent": order.agent, "input": task, "background": True}
    if order.model:
        params["model"] = order.model
    if order.environment:
        params["environment"] = order.environment
    elif order.files:
        params["environment"] = {"type": "remote", "sources": _sources(order.files)}
    else:
        params["environment"] = "remote"
    return params


def _sources(files: list[Path]) -> list[dict[str, Any]]:
    sizes = {file: file.stat().st_size for file in files}
    for file, count in sizes.items():
        if count > MAX_FILE_BYTES:
            raise Misuse(_too_big(f"{file} has {size(count)}"))
    if sum(sizes.values()) > MAX_TOTAL_BYTES:
        raise Misuse(_too_big(f"the files have {size(sum(sizes.values()))}"))
    return [_source(file) for file in files]


def _too_big(what: str) -> str:
    return (
        f"{what}: --file takes {size(MAX_FILE_BYTES)} per file and {size(MAX_TOTAL_BYTES)} in all "
        "for a new environment; for one that exists (--environment ENV) there is no limit"
    )


def _source(file: Path) -> dict[str, Any]:
    return {
        "type": "inline",
        "target": target_of(file),
        "content": base64.b64encode(file.read_bytes()).decode("ascii"),
        "encoding": "base64",
    }
