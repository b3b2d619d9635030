"""Sandlot: a self-hosted managed-agent sandbox runtime that speaks the Gemini Interactions API."""

__version__ = "0.1.0"
