"""Paths of files in addresses: everything that is left of it, whatever it holds."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class FilePath(Convertor[str]):
    """Like Starlette's `path`, which ends at a line break; names of files may have some."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        """The path in a request."""
        return value

    def to_string(self, value: str) -> str:
        """The path in an address."""
        return value


register_url_convertor("file", FilePath())
FILES = "/environments/{environment_id}/files/{path:file}"
