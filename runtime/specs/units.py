"""Sizes and durations as people write them: `4GiB`, `512MB`, `15m`, `1h30m`."""

from __future__ import annotations

import re

_SIZES = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|[smhd]))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")


def parse_size(text: str) -> int:
    """Bytes of `4GiB` (powers of 1024), `512MB` (powers of 1000) or `1048576`.

    Raises:
        ValueError: It is none of these.

    """
    match = _SIZE.fullmatch(text.strip())
    unit = _unit(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError(f"`{text}` is not a size; write it like 512MiB, 4GiB or 2GB")
    return round(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `15m`, `1h30m`, `7d`, `500ms` or `90`.

    Raises:
        ValueError: It is none of these.

    """
    compact = text.replace(" ", "")
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", compact):
        return float(compact)
    if not _DURATION.fullmatch(compact):
        raise ValueError(f"`{text}` is not a duration; write it like 90s, 15m, 1h30m or 7d")
    return sum(float(count) * _SECONDS[unit] for count, unit in _DURATION_PART.findall(compact))


def format_size(size_bytes: float) -> str:
    """`4GiB` for what is a whole number of a unit, else bytes."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= _SIZES[unit] and size_bytes % _SIZES[unit] == 0:
            return f"{size_bytes / _SIZES[unit]:.0f}{unit}"
    return f"{size_bytes:.0f}B"


def format_duration(seconds: float) -> str:
    """`15m` for what is a whole number of a unit, else seconds."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:g}s"


def _unit(text: str) -> int | None:
    if not text:
        return 1
    return next((size for unit, size in _SIZES.items() if unit.lower() == text.lower()), None)
