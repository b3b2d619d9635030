"""Why a figure is missing from a report."""

from __future__ import annotations


class NotMeasured(Exception):
    """Something that is measured did not work; the message says what."""
