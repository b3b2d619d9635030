"""Seals secrets before they are stored; the keys are the operator's and not in the database."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.errors import Internal, InvalidRequest
from runtime.schema.sealing_keys import new_key, read_key

KEY_FILE = "credentials.key"
KEYS_VARIABLE = "SANDLOT_CREDENTIALS_KEY"
_SETTING = "credentials.keys"
_NONCE_BYTES = 12
_VERSION = "s1"


class Vault:
    """Seals with the first key, unseals with all of them.

    A sealed text is `s1.<key id>.<base64url of nonce and AES-256-GCM ciphertext>`; it opens only
    with the `about` that it was sealed with, so that it cannot be moved to another row.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` are 32 bytes each, at least one."""
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0])

    @classmethod
    def open(cls, state_dir: Path, keys: Sequence[str] = ()) -> Vault:
        """The vault of a state folder: with `keys`, as operators write them, else with its own.

        The folder's own key is made when it is first needed; it stays readable, so that what was
        sealed with it can be sealed anew with a key of the operator's. Raises `InvalidRequest` for
        what is no key.
        """
        path = state_dir / KEY_FILE
        given = [_read(key, f"{_SETTING} (or ${KEYS_VARIABLE})") for key in keys]
        if path.exists():
            given.append(_read(path.read_text(encoding="ascii", errors="replace"), str(path)))
        elif not given:
            given.append(_made(path))
        return cls(given)

    def seal(self, secret: str, about: str) -> str:
        """`secret`, unreadable without the key and bound to `about`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._keys[self._first].encrypt(nonce, secret.encode(), about.encode())
        packed = base64.urlsafe_b64encode(nonce + sealed).decode("ascii")
        return f"{_VERSION}.{self._first}.{packed}"

    def unseal(self, sealed: str, about: str) -> str:
        """The secret. Raises `Internal` when its key is not there or it was tampered with."""
        version, _, rest = sealed.partition(".")
        key_id, _, packed = rest.partition(".")
        key = self._keys.get(key_id)
        if version != _VERSION or key is None:
            raise Internal(
                f"A stored secret was sealed with a key that is not there ({key_id[:16]}). Put it "
                f"back: as one of `{_SETTING}` in sandlot.yaml or of ${KEYS_VARIABLE}, or as the "
                f"file {KEY_FILE} in the state folder."
            )
        try:
            raw = base64.urlsafe_b64decode(packed)
            opened = key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError) as error:
            raise Internal("A stored secret is damaged, or belongs to something else.") from error
        return opened.decode()

    def is_current(self, sealed: str) -> bool:
        """Whether it was sealed with the first key."""
        return sealed.startswith(self.mark)

    @property
    def mark(self) -> str:
        """What everything begins with that is sealed with the first key."""
        return f"{_VERSION}.{self._first}."


def _made(path: Path) -> bytes:
    key = new_key()
    # Never readable by others, not even for a moment; and whole, or not there.
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return read_key(key)


def _read(key: str, where: str) -> bytes:
    try:
        return read_key(key)
    except ValueError as error:
        raise InvalidRequest(f"{where}: what stands there {error}.") from None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"sandlot key id" + key).hexdigest()[:8]
