"""Files up and down through the API, in a real sandbox."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from runtime.errors import SandlotError
from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def environment(sandlot: RunningController) -> str:
    code = "mkdir -p report/img && echo hi > report/a.txt && ln -s /etc/passwd report/link"
    run = sandlot.run(fence("bash", code))
    assert run.environment_id
    return run.environment_id


def test_a_large_file_comes_back_as_it_went(
    sandlot: RunningController, environment: str, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(24 * 1024 * 1024))
    files = sandlot.client.environments.files
    written = files.upload(environment, "/workspace/deep/down/blob", source)
    assert [one.path for one in written] == ["workspace/deep/down/blob"]
    assert files.download(environment, "workspace/deep/down/blob", back) == 24 * 1024 * 1024
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (source, back)]
    assert digests[0] == digests[1]
    run = sandlot.run(
        fence("bash", "sha256sum deep/down/blob; stat -c %U deep/down/blob"), environment
    )
    assert digests[0] in results(run)[0] and "agent" in results(run)[0]


def test_an_existing_file_is_kept_unless_told(sandlot: RunningController, environment: str) -> None:
    files = sandlot.client.environments.files
    files.upload(environment, "workspace/once.txt", b"first")
    with pytest.raises(SandlotError) as refused:
        files.upload(environment, "workspace/once.txt", b"second")
    assert refused.value.code == "aborted"
    files.upload(environment, "workspace/once.txt", b"third", overwrite=True)
    assert files.read(environment, "workspace/once.txt") == b"third"


def test_a_folder_comes_as_a_tar_without_what_links_lead_to(
    sandlot: RunningController, environment: str
) -> None:
    chunks = sandlot.client.environments.files.chunks(
        environment, "workspace/report", recursive=True
    )
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert "a.txt" in str(sorted(members)) and "img" in str(sorted(members))
    assert all(not member.isfile() or member.size < 100 for member in members.values())


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        "/etc/passwd",
        "workspace/../../etc/passwd",
        "workspace/report/link",
        "workspace/%2e%2e/etc/passwd",
        "workspace/nothing",
    ],
)
def test_nothing_outside_the_workspace_is_served(
    sandlot: RunningController, environment: str, path: str
) -> None:
    with pytest.raises(SandlotError) as refused:
        sandlot.client.environments.files.read(environment, path)
    assert refused.value.code in ("not_found", "invalid_request")


def test_an_archive_is_unpacked_and_cannot_leave(
    sandlot: RunningController, environment: str
) -> None:
    def archive(name: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"abc"))
        return buffer.getvalue()

    files = sandlot.client.environments.files
    files.upload(environment, "workspace/src", archive("pkg/a.txt"), extract=True)
    assert files.read(environment, "workspace/src/pkg/a.txt") == b"abc"
    for name in ("../../escaped", "/tmp/escaped"):
        with pytest.raises(SandlotError):
            files.upload(environment, "workspace/src", archive(name), extract=True)


def test_listing_pages_and_recurses(sandlot: RunningController, environment: str) -> None:
    run = sandlot.run(fence("bash", "mkdir many && touch many/{1..30}"), environment)
    assert run.status == "completed"
    listed = sandlot.client.environments.files.list(environment, "workspace/many")
    assert len(listed) == 30
    deep = sandlot.client.environments.files.list(environment, "workspace/report", recursive=True)
    assert {"a.txt", "img"} <= {one.name for one in deep}
