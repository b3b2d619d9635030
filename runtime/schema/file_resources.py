"""Uploaded files as the OpenAPI document shows them, in the spelling that SDKs read."""

# ruff: noqa: N815

from __future__ import annotations

from typing import Literal

from runtime.schema.base import Open


class File(Open):
    """An uploaded file."""

    name: str
    """`files/ID`."""
    displayName: str | None = None
    mimeType: str
    sizeBytes: str
    createTime: str
    updateTime: str
    expirationTime: str
    """When it will be deleted."""
    sha256Hash: str
    """Base64 of the digest."""
    uri: str
    """What stands for it in content."""
    downloadUri: str
    state: Literal["ACTIVE"] = "ACTIVE"
    source: Literal["UPLOADED"] = "UPLOADED"


class FilePage(Open):
    """A page of files."""

    files: list[File]
    nextPageToken: str | None = None


class UploadedFile(Open):
    """What a finished upload answers; empty for one that has just begun."""

    file: File | None = None
