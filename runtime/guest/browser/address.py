"""Addresses: what a model writes, what Chromium is given for it, and what is shown to the model.

Files of the workspace live at an origin of their own, since the browser may not read them itself.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from runtime.errors import ToolFault

WORKSPACE = "/workspace"
WORKSPACE_ORIGIN = "http://workspace.sandlot"
WORKSPACE_PATTERN = f"{WORKSPACE_ORIGIN}/**"

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*):")
_LOCAL = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?([/?#].*)?$", re.IGNORECASE)
_HOSTLIKE = re.compile(
    rf"^{WORKSPACE}/(www\.)?[\w-]+\.([\w.-]+\.)*"
    r"(com|org|net|io|dev|ai|app|co|edu|gov|info|eu|uk|de|fr|jp|cn|in)(/|$)"
)
_SHOWN_CHARS = 500


@dataclass(frozen=True, slots=True)
class Address:
    """Where to go: `url` for Chromium, `shown` for the model. `file` is set for the workspace."""

    url: str
    shown: str
    file: str | None = None

    @property
    def is_hostlike(self) -> bool:
        """Whether this workspace file is named like a web site, which may be what was meant."""
        return self.file is not None and bool(_HOSTLIKE.match(self.file))

    @property
    def host(self) -> str:
        """The host, with its port when there is one."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def parse(text: str) -> Address:
    """The address that `text` means. Raises `ToolFault` for one that is not to be opened."""
    text = text.strip()
    if not text:
        raise ToolFault("The url is empty; give an http(s) URL or the path of a workspace file.")
    if _LOCAL.match(text):
        text = f"http://{text}"
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _of_file(text)
    match scheme[1].lower():
        case "http" | "https":
            return _of_web(text)
        case "file":
            return _of_file(_path_of_file_url(text))
        case "data":
            return Address(text, shown(text))
        case _ if text == "about:blank":
            return Address(text, text)
        case other:
            raise ToolFault(
                f"The browser opens no {other}: addresses; give an http(s) URL or the path of a "
                f"file below {WORKSPACE}."
            )


def shown(url: str) -> str:
    """What the model is shown in place of `url`."""
    if url == WORKSPACE_ORIGIN or url.startswith(f"{WORKSPACE_ORIGIN}/"):
        url = WORKSPACE + unquote(url.removeprefix(WORKSPACE_ORIGIN))
    return url if len(url) <= _SHOWN_CHARS else f"{url[:_SHOWN_CHARS]}…"


def is_workspace(url: str) -> bool:
    """Whether `url` is a page or file of the workspace."""
    return url.startswith(f"{WORKSPACE_ORIGIN}/")


def workspace_path(url: str) -> str | None:
    """The absolute path behind a URL of the workspace origin; None when it leads outside."""
    path = unquote(urlsplit(url).path)
    if not is_workspace(url) or "\0" in path or ".." in path.split("/"):
        return None
    return posixpath.normpath(WORKSPACE + path) + ("/" if path.endswith("/") else "")


def absolute(path: str) -> str:
    """`path` as an absolute one; a relative path starts at the workspace."""
    return path if path.startswith("/") else f"{WORKSPACE}/{path}"


def _of_web(text: str) -> Address:
    try:
        parts = urlsplit(text)
        is_good = bool(parts.hostname) and (parts.port is None or 0 < parts.port < 65536)
    except ValueError:
        is_good = False
    if not is_good:
        raise ToolFault(f"{shown(text)} is not a valid URL.")
    if is_workspace(text):
        return _of_file(WORKSPACE + unquote(text.removeprefix(WORKSPACE_ORIGIN)))
    return Address(text, shown(text))


def _path_of_file_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise ToolFault(f"{shown(text)} names another machine; only {WORKSPACE} can be opened.")
    rest = text.partition("://")[2] if "://" in text else text.partition(":")[2]
    return unquote(rest.removeprefix("localhost"))


def _of_file(text: str) -> Address:
    """`text` is a path, possibly with a query or a fragment behind it."""
    bare, mark, rest = _split_path(text)
    path = posixpath.normpath(absolute(bare))
    if path != WORKSPACE and not path.startswith(f"{WORKSPACE}/"):
        raise ToolFault(
            f"{shown(text)} is outside of {WORKSPACE}; the browser opens files of the workspace "
            "and http(s) URLs."
        )
    if bare.endswith("/") or path == WORKSPACE:
        path += "/"
    url = WORKSPACE_ORIGIN + quote(path.removeprefix(WORKSPACE)) + mark + rest
    return Address(url, path + mark + rest, path)


def _split_path(text: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found[0], text[found.end() :]
