"""Which pictures, sounds, films and documents a provider's models are given as they are. Pure.

What is not in the list is turned into text (documents), left out with a note (what a tool gave),
or refused (what a caller gave).
"""

from __future__ import annotations

from runtime.schema.media import FILMS, IMAGES, PDF, SOUNDS
from runtime.schema.settings import ProviderSettings

_WEB_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_CHAT_SOUNDS = frozenset({"audio/wav", "audio/mp3", "audio/mpeg"})
_BY_KIND = {
    "google": IMAGES | SOUNDS | FILMS | {PDF},
    "openai": _WEB_IMAGES | {PDF},
    "anthropic": _WEB_IMAGES | {PDF},
    "openai_compatible": IMAGES,
}


def taken_by(kind: str, model: str, settings: ProviderSettings) -> frozenset[str]:
    """The MIME types that the model `model` of a provider of that kind takes."""
    taken = _BY_KIND[kind]
    if not settings.vision:
        taken -= IMAGES
    if settings.audio is False:
        taken -= SOUNDS
    elif kind != "google" and (settings.audio or (kind == "openai" and "audio" in model)):
        taken |= _CHAT_SOUNDS
    return frozenset(taken)
