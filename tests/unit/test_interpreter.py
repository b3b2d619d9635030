"""What lies in the current folder, perhaps copied out of an environment, is never run."""

from __future__ import annotations

from pathlib import Path

import pytest

import runtime
from runtime.egress.protocol import ProxySettings
from runtime.egress.proxy import EgressProxy
from runtime.sandboxes.image_trust import collect
from runtime.tools.documents import DocumentReader
from tests.support.shell import Shell

pytestmark = pytest.mark.anyio

NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
TRACE = "open({!r}, 'w').close()\nraise SystemExit('it was run')\n"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules named like ours, like pip and like Python's own."""
    folder = tmp_path / "copied"
    for name in ("runtime", "pip", "json", "asyncio", "pydantic"):
        (folder / name).mkdir(parents=True)
        for file in ("__init__.py", "__main__.py"):
            (folder / name / file).write_text(TRACE.format(str(tmp_path / "run")), "utf-8")
    monkeypatch.chdir(folder)
    return folder


def was_run(folder: Path) -> bool:
    return (folder.parent / "run").exists()


def test_a_command_and_the_controller_that_it_starts(hostile: Path) -> None:
    shell = Shell(hostile, {"SANDLOT_STATE_DIR": str(hostile.parent / "state"), **NO_DOCKER})
    done = shell("keys", "list")
    assert (done.returncode, was_run(hostile)) == (0, False), done.stderr


async def test_the_egress_proxy(hostile: Path) -> None:
    async with EgressProxy(ProxySettings()).running():
        assert not was_run(hostile)


async def test_the_reader_of_documents(hostile: Path) -> None:
    assert (
        "Hello"
        in (await DocumentReader().read("html", b"<html><body><p>Hello</p></body></html>"))[1]
    )
    assert not was_run(hostile)


def test_the_settings_of_pip(hostile: Path) -> None:
    assert any(file.name.endswith("pip.conf") for file in collect())
    assert not was_run(hostile)


def test_one_place_starts_python() -> None:
    sources = Path(runtime.__file__).parent.rglob("*.py")
    named = {path.name for path in sources if "sys.executable" in path.read_text("utf-8")}
    assert named == {"interpreter.py"}
