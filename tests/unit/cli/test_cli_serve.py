from __future__ import annotations

import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.cli.server import FIRST_PORT, LAST_PORT, CannotListen, listen, url_of
from runtime.cli.state import (
    claim_if_unused,
    in_use,
    is_loopback_host,
    prepare,
    refuse_public_address,
    server_key,
)
from runtime.client.discovery import state_folder
from runtime.errors import InvalidRequest, PermissionDenied
from runtime.schema.settings import ServerSettings


def test_without_a_port_the_next_free_one_is_taken() -> None:
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", FIRST_PORT)))
        found = stack.enter_context(listen("127.0.0.1", None))

        assert FIRST_PORT < found.getsockname()[1] <= LAST_PORT


@pytest.mark.parametrize("host", ["999.0.0.1", "no-such-host.invalid", "203.0.113.7"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(CannotListen, match=re.escape(host)):
        listen(host, 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
    ],
)
def test_the_url_is_one_that_works_here(host: str, url: str) -> None:
    with listen(host, 0) as listener:
        assert url_of(listener, host) == url + str(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example.com", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, is_loopback: bool, tmp_path: Path) -> None:
    key = server_key(state_folder(tmp_path), ServerSettings())

    assert is_loopback_host(host) is is_loopback
    if is_loopback:
        refuse_public_address(host, key)
        return
    with pytest.raises(InvalidRequest):
        refuse_public_address(host, key)


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    folder = state_folder(tmp_path)

    first, second = (server_key(folder, ServerSettings()) for _ in range(2))
    folder.key_file.chmod(0o644)
    server_key(folder, ServerSettings())

    assert first == second
    assert len(first.value) > 32
    assert not first.is_configured
    assert folder.key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]


def test_a_configured_key_wins(tmp_path: Path) -> None:
    key = server_key(state_folder(tmp_path), ServerSettings(api_key=SecretStr("mine")))

    assert (key.value, key.is_configured) == ("mine", True)
    assert list(tmp_path.iterdir()) == []


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(PermissionDenied, match="--state-dir"):
        prepare(state_folder(tmp_path / "file" / "state"))


def test_a_claim_waits_for_nobody_and_excludes_everybody(tmp_path: Path) -> None:
    folder = state_folder(tmp_path)

    with in_use(folder), in_use(folder), claim_if_unused(folder) as unused:
        assert not unused
    with claim_if_unused(folder) as unused:
        assert unused
