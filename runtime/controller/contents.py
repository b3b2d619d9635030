"""Puts the parts together that bring files and media from callers to models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from runtime.controller.attachments import AttachmentService
from runtime.controller.blobs import Blobs
from runtime.controller.delivery import MediaDelivery
from runtime.controller.file_uploads import FileUploads
from runtime.controller.files import FileService
from runtime.controller.media import MediaFolder
from runtime.controller.quotas import Quotas
from runtime.controller.texts import DocumentTexts
from runtime.schema.settings import FilesSettings
from runtime.store import Store
from runtime.tools.relay import ControllerTools

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Contents:
    """Uploaded files, and the media in interactions."""

    files: FileService
    uploads: FileUploads
    attachments: AttachmentService
    delivery: MediaDelivery
    media: MediaFolder

    async def expire(self) -> None:
        """Delete what has expired, for ever."""
        await self.files.expire(self.uploads.is_busy)

    async def sweep(self, store: Store) -> None:
        """Delete the media of interactions that are gone, which a controller left that was killed.

        For the start, before there are new interactions.
        """
        for owner in await self.media.owners():
            if await store.interactions.summary_in_any_project(owner) is None:
                log.info("media without an interaction deleted", interaction=owner)
                await self.media.discard(owner)


def open_contents(
    store: Store,
    state_dir: Path,
    tools: ControllerTools,
    settings: FilesSettings,
    quotas: Quotas | None = None,
) -> Contents:
    """The parts, on the state in `state_dir`."""
    blobs = Blobs(state_dir / "files")
    media = MediaFolder(state_dir / "media", blobs)
    files = FileService(store.files, blobs, settings)
    texts = DocumentTexts(tools.reader)
    return Contents(
        files=files,
        uploads=FileUploads(store.files, blobs, settings, quotas),
        attachments=AttachmentService(media, files, tools.dialer, texts, settings),
        delivery=MediaDelivery(media, texts, settings.inline_size_bytes),
        media=media,
    )
