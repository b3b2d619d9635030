"""Providers of sandboxes, and the image they start from."""
