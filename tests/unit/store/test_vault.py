from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from runtime.errors import Internal, InvalidRequest
from runtime.schema.sealing_keys import new_key, read_key
from runtime.store.vault import KEY_FILE, Vault


def test_a_folder_gets_a_key_of_its_own_that_only_its_owner_reads(tmp_path: Path) -> None:
    sealed = Vault.open(tmp_path).seal("s3cret", "row:1")
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert "s3cret" not in sealed
    assert Vault.open(tmp_path).unseal(sealed, "row:1") == "s3cret"


def test_a_sealed_text_belongs_to_its_row(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path)
    sealed = vault.seal("s3cret", "row:1")
    assert vault.seal("s3cret", "row:1") != sealed
    with pytest.raises(Internal, match="belongs to something else"):
        vault.unseal(sealed, "row:2")


@pytest.mark.parametrize("place", range(14, 60, 7))
def test_a_changed_text_is_not_opened(tmp_path: Path, place: int) -> None:
    vault = Vault.open(tmp_path)
    sealed = vault.seal("s3cret" * 10, "row:1")
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
    with pytest.raises(Internal, match="damaged"):
        vault.unseal(changed, "row:1")


def test_a_key_that_is_not_there_is_named_with_where_to_put_it(tmp_path: Path) -> None:
    sealed = Vault.open(tmp_path, [new_key()]).seal("s3cret", "row:1")
    with pytest.raises(Internal) as raised:
        Vault.open(tmp_path, [new_key()]).unseal(sealed, "row:1")
    for name in ("credentials.keys", "SANDLOT_CREDENTIALS_KEY", KEY_FILE, sealed.split(".")[1]):
        assert name in raised.value.message
    assert not (tmp_path / KEY_FILE).exists()


def test_the_first_key_seals_and_all_of_them_open(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    sealed = Vault.open(tmp_path, [old]).seal("s3cret", "row:1")
    both = Vault.open(tmp_path, [new, old])
    assert both.unseal(sealed, "row:1") == "s3cret" and not both.is_current(sealed)
    again = both.seal("s3cret", "row:1")
    assert both.is_current(again)
    assert Vault.open(tmp_path, [new]).unseal(again, "row:1") == "s3cret"


def test_keys_are_read_as_operators_make_them() -> None:
    raw = bytes(range(220, 252))
    plain, url = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    assert plain != url
    for text in (plain, url, url.rstrip("="), raw.hex(), f" {plain}\n"):
        assert read_key(text) == raw


@pytest.mark.parametrize("text", ["", "hunter2-hunter2", "A" * 42, "A" * 44, "ü" * 43, "A" * 60])
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Vault.open(tmp_path, [text])
    assert "credentials.keys" in raised.value.message
    assert not text or text not in raised.value.message


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(os.urandom(16))
    with pytest.raises(InvalidRequest, match=KEY_FILE):
        Vault.open(tmp_path)
