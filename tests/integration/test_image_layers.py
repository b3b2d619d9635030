"""That nothing which the image build borrows from its host is left in the image."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=300)
    yield client
    client.close()


def _private_lines() -> list[bytes]:
    """A line out of each certificate that only this machine trusts."""
    folder = Path("/usr/local/share/ca-certificates")
    texts = [path.read_text("ascii", errors="replace") for path in folder.glob("**/*.crt")]
    return [lines[3].encode() for text in texts if len(lines := text.splitlines()) > 6]


def test_no_layer_holds_settings_of_the_host(image: str, client: docker.DockerClient) -> None:
    secrets = _private_lines()
    layers = 0
    stream = _Stream(client.api.get_image(image))
    with tarfile.open(fileobj=stream, mode="r|") as saved:
        for entry in saved:
            data = saved.extractfile(entry)
            if data is None or not entry.name.endswith("layer.tar"):
                continue
            layers += 1
            with tarfile.open(fileobj=data, mode="r|") as layer:
                _assert_clean(layer, secrets)
    assert layers >= 2


def _assert_clean(layer: tarfile.TarFile, secrets: list[bytes]) -> None:
    forbidden = ("trust/", "steps/", "etc/apt/sources.list", "etc/apt/apt.conf.d/", "root/.c")
    for entry in layer:
        assert not (entry.isfile() and entry.name.startswith(forbidden)), entry.name
        if entry.isfile() and entry.size < 1024**2:
            file = layer.extractfile(entry)
            content = file.read() if file else b""
            assert not any(secret in content for secret in secrets), entry.name


def test_its_history_says_nothing_of_the_host(image: str, client: docker.DockerClient) -> None:
    history = str(client.api.history(image))
    config = str(client.api.inspect_image(image)["Config"])
    assert not re.search(r"/trust|proxy|sources\.list|BASE_IMAGE", history + config, re.IGNORECASE)


class _Stream(io.RawIOBase):
    """Chunks as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._rest += chunk
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
