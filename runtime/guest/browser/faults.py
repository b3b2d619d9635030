"""What went wrong in the browser, as a sentence for a model. Pure text to text."""

from __future__ import annotations

import re

_NET_ERROR = re.compile(r"net::(ERR_\w+)")
_METHOD = re.compile(r"^\w+\.\w+: ")
_COVERED = re.compile(r"(<.*>) (?:from <.*> subtree )?intercepts pointer events")
_LAST_WORDS = re.compile(r"\[err\] .*?((?:FATAL|error while loading|Failed to).*)")
_SHOWN_CHARS = 300

_OF_NETWORK = {
    "ERR_NAME_NOT_RESOLVED": "{host} could not be found: its name does not resolve.",
    "ERR_CONNECTION_REFUSED": "Nothing answers at {host}: the connection was refused. Is the "
    "server running there?",
    "ERR_CONNECTION_RESET": "{host} broke the connection off.",
    "ERR_CONNECTION_CLOSED": "{host} closed the connection.",
    "ERR_EMPTY_RESPONSE": "{host} closed the connection without an answer.",
    "ERR_CONNECTION_TIMED_OUT": "{host} did not accept the connection in time.",
    "ERR_TIMED_OUT": "{host} did not answer in time.",
    "ERR_ADDRESS_UNREACHABLE": "{host} cannot be reached from this sandbox.",
    "ERR_NETWORK_ACCESS_DENIED": "{host} cannot be reached from this sandbox.",
    "ERR_INTERNET_DISCONNECTED": "This sandbox has no network, so {host} cannot be reached.",
    "ERR_TUNNEL_CONNECTION_FAILED": "{host} cannot be reached: the network rules of this sandbox "
    "do not allow it, or it does not answer.",
    "ERR_PROXY_CONNECTION_FAILED": "{host} cannot be reached: the way out of this sandbox does "
    "not answer.",
    "ERR_SSL_PROTOCOL_ERROR": "{host} does not speak https there; try http.",
    "ERR_TOO_MANY_REDIRECTS": "{host} redirects in a circle.",
    "ERR_UNSAFE_PORT": "Browsers refuse that port of {host}; run the server on another one.",
    "ERR_INVALID_URL": "{shown} is not a valid URL.",
    "ERR_ABORTED": "{shown} gave no page: the server sent none, or broke off.",
    "ERR_BLOCKED_BY_ADMINISTRATOR": "{shown} is blocked in this browser.",
    "ERR_INVALID_RESPONSE": "{host} did not answer in HTTP.",
    "ERR_INVALID_HTTP_RESPONSE": "{host} did not answer in HTTP.",
}

_OF_ACTION = (
    ("is not an <input>", "is not a field that text can be typed into."),
    (r"Input of type .* cannot be filled", "is not a field to type into; click it instead."),
    ("not a <select>", "is not a select element; click it, then the option."),
    (r"Cannot type text into input\[type=number\]", "takes a number only."),
    ("element is not enabled", "cannot be used: it is disabled."),
    ("element is not editable", "cannot be used: it is read-only."),
    ("element is not visible", "cannot be used: it is not visible."),
    ("element is not stable", "cannot be used: it keeps moving."),
    ("outside of the viewport", "cannot be used: it does not scroll into view."),
    ("was detached|not attached", "went away; take a new snapshot."),
)


def net_error(text: str) -> str | None:
    """The name of the network error in a message of Playwright, such as `ERR_ABORTED`."""
    found = _NET_ERROR.search(text)
    return found[1] if found else None


def is_interrupted(text: str) -> bool:
    """Whether a navigation may have failed only because the page before it navigated, too."""
    return "is interrupted by another navigation" in text or net_error(text) == "ERR_ABORTED"


def is_download(text: str) -> bool:
    """Whether a navigation ended in a download in place of a page."""
    return "Download is starting" in text


def is_closed(text: str) -> bool:
    """Whether a page, or the whole browser, went away in the middle of a call."""
    return "has been closed" in text or "Connection closed" in text


def of_navigation(text: str, *, host: str, shown: str) -> str:
    """Why a page could not be opened."""
    error = net_error(text)
    if error is None:
        is_invalid = "invalid URL" in text
        reason = "is not a valid URL." if is_invalid else f"could not be opened: {gist(text)}"
        return f"{shown} {reason}"
    if error.startswith("ERR_CERT_"):
        return f"The certificate of {host} is not valid ({error})."
    return _OF_NETWORK.get(error, f"{{shown}} could not be opened ({error}).").format(
        host=host, shown=shown
    )


def of_action(text: str, what: str) -> str:
    """Why an element could not be acted on; `what` names it."""
    covered = _COVERED.findall(text)
    if covered:
        return f"{what} is covered by {cut(covered[-1])}; deal with that first."
    for sign, reason in _OF_ACTION:
        if re.search(sign, text):
            return f"{what} {reason}"
    return f"{what} cannot be used: {gist(text)}"


def of_launch(text: str) -> str:
    """Why Chromium did not start: its own last words, when it left any."""
    words = _LAST_WORDS.findall(text)
    return cut(words[0]) if words else gist(text)


def was_performed(text: str) -> bool:
    """Whether a pointer action was sent before it timed out: the page has it, and is slow."""
    lines = [line.strip(" -") for line in text.splitlines()]
    sent = _last(lines, "performing ")
    return sent > max(_last(lines, "attempting "), _last(lines, "retrying "))


def gist(text: str) -> str:
    """The message without Playwright's call log and method name."""
    return cut(_METHOD.sub("", text.strip().partition("\n")[0]))


def cut(text: str, chars: int = _SHOWN_CHARS) -> str:
    """`text`, its end cut off when it is longer than `chars`."""
    return text if len(text) <= chars else f"{text[:chars]}…"


def _last(lines: list[str], start: str) -> int:
    found = [index for index, line in enumerate(lines) if line.startswith(start)]
    return found[-1] if found else -1
