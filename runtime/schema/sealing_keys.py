"""The keys that stored secrets are sealed with, as operators write them."""

from __future__ import annotations

import base64
import binascii
import re
import secrets

KEY_BYTES = 32
HOW_TO_MAKE = "make one with `openssl rand -base64 32`"
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


def new_key() -> str:
    """A fresh key, in base64url."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def read_key(text: str) -> bytes:
    """The 32 bytes of a key, in base64 or base64url, padded or not, or hexadecimal.

    Raises `ValueError`, without the key.
    """
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        if _BASE64.fullmatch(text):
            padded = text.rstrip("=") + "="
            return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        pass
    raise ValueError(f"is not a key of {KEY_BYTES} bytes in base64: {HOW_TO_MAKE}")
