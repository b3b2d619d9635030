"""The decisions of the browser that need no browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import ToolFault
from runtime.guest.browser.address import Address, parse, shown, workspace_path
from runtime.guest.browser.downloads import destination
from runtime.guest.browser.faults import (
    is_interrupted,
    of_action,
    of_launch,
    of_navigation,
    was_performed,
)
from runtime.guest.browser.launch import Directories, arguments, environment, unwanted_arguments
from runtime.guest.browser.pictures import bounded
from runtime.guest.browser.questions import check_value
from runtime.guest.browser.report import excerpt, heading
from runtime.guest.browser.tools import build_browser_tools
from runtime.guest.browser.workspace import content_type
from runtime.schema.sandbox_tools import TOOL_GROUPS
from tests.support.browser_world import Workspace, browser_config

ORIGIN = "http://workspace.sandlot"


def test_every_declared_tool_is_there(tmp_path: Path) -> None:
    tools = build_browser_tools(browser_config(tmp_path, Workspace(tmp_path)))
    assert sorted(tools.tools) == sorted(TOOL_GROUPS["browser"])


@pytest.mark.parametrize(
    ("text", "url", "told"),
    [
        (" https://example.com/a?b#c ", "https://example.com/a?b#c", "https://example.com/a?b#c"),
        ("localhost:8000/x", "http://localhost:8000/x", "http://localhost:8000/x"),
        ("127.0.0.1", "http://127.0.0.1", "http://127.0.0.1"),
        ("[::1]:80", "http://[::1]:80", "http://[::1]:80"),
        ("/workspace/a b.html", f"{ORIGIN}/a%20b.html", "/workspace/a b.html"),
        ("a.html?x=1#y", f"{ORIGIN}/a.html?x=1#y", "/workspace/a.html?x=1#y"),
        ("./sub/../a.html", f"{ORIGIN}/a.html", "/workspace/a.html"),
        ("file:///workspace/%C3%A4.html", f"{ORIGIN}/%C3%A4.html", "/workspace/ä.html"),
        ("file://localhost/workspace/a.html", f"{ORIGIN}/a.html", "/workspace/a.html"),
        ("/workspace", f"{ORIGIN}/", "/workspace/"),
        ("site/", f"{ORIGIN}/site/", "/workspace/site/"),
        (f"{ORIGIN}/a%20b.html", f"{ORIGIN}/a%20b.html", "/workspace/a b.html"),
        ("localhost.html", f"{ORIGIN}/localhost.html", "/workspace/localhost.html"),
        ("data:text/html,x", "data:text/html,x", "data:text/html,x"),
        ("about:blank", "about:blank", "about:blank"),
    ],
)
def test_addresses(text: str, url: str, told: str) -> None:
    address = parse(text)
    assert (address.url, address.shown) == (url, told)
    assert (address.file is not None) == url.startswith(ORIGIN)


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "http://", "https:///x", "http://[::1", "http://a:0/", "http://a:99999/"),
        *("file:///etc/passwd", "file://other/workspace/a", "/etc/passwd", "../x", "/workspacex/a"),
        *("chrome://version", "view-source:http://a", "javascript:1", "blob:http://a/1", "ftp://a"),
        *("about:config", "devtools://x", "WS://a", f"{ORIGIN}/../../etc/passwd"),
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ToolFault):
        parse(text)


def test_a_file_named_like_a_site_is_noticed() -> None:
    assert parse("example.com/about").is_hostlike
    assert parse("www.bbc.co.uk").is_hostlike
    assert not parse("report.html").is_hostlike
    assert not parse("https://example.com").is_hostlike


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a%20b/c.html?x=1", "/workspace/a b/c.html"),
        ("/", "/workspace/"),
        ("/docs/", "/workspace/docs/"),
        ("//etc/passwd", "/workspace/etc/passwd"),
        ("/..%2f..%2fetc", None),
        ("/a%00b", None),
    ],
)
def test_the_file_behind_a_workspace_url(path: str, expected: str | None) -> None:
    assert workspace_path(ORIGIN + path) == expected


def test_what_is_shown_of_a_url_is_bounded() -> None:
    assert len(shown("http://a/" + "x" * 9000)) < 600
    assert shown(f"{ORIGIN}.evil.example/x") == f"{ORIGIN}.evil.example/x"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("net::ERR_NAME_NOT_RESOLVED at http://h/", "h:1 could not be found"),
        ("net::ERR_CERT_DATE_INVALID at x", "The certificate of h:1 is not valid"),
        ("net::ERR_TUNNEL_CONNECTION_FAILED at x", "the network rules of this sandbox"),
        ("net::ERR_SOMETHING_NEW at x", "/p could not be opened (ERR_SOMETHING_NEW)."),
        ("Protocol error: Cannot navigate to invalid URL", "/p is not a valid URL."),
        ("Page.goto: strange\nCall log:\n - secret", "/p could not be opened: strange"),
    ],
)
def test_why_a_page_cannot_be_opened(error: str, told: str) -> None:
    assert told in of_navigation(error, host="h:1", shown="/p")


def test_braces_in_an_address_are_kept() -> None:
    told = of_navigation("net::ERR_NEW at x", host="h", shown="/{host}")
    assert told == "/{host} could not be opened (ERR_NEW)."


def test_an_unknown_reason_is_the_first_line_only() -> None:
    assert of_action("Locator.click: odd\nCall log:\n  - x", "B") == "B cannot be used: odd"


def test_whether_a_slow_click_was_performed() -> None:
    log = "Timeout 500ms exceeded.\nCall log:\n  - attempting click action\n"
    sent = log + "    - performing click action\n"
    assert not was_performed(log)
    assert was_performed(sent)
    assert not was_performed(sent + "  - retrying click action\n    - waiting 20ms")
    assert not was_performed(sent + "  - retrying\n  - attempting click action\n")


def test_interruptions_are_told_from_failures() -> None:
    assert is_interrupted('Navigation to "a" is interrupted by another navigation to "b"')
    assert is_interrupted("net::ERR_ABORTED at x")
    assert not is_interrupted("net::ERR_CONNECTION_REFUSED at x")


def test_the_last_words_of_chromium_are_told() -> None:
    log = "Target closed\nBrowser logs:\n[pid=1][err] [1:1:FATAL:a.cc(1)] no room\n[pid=1] end"
    assert of_launch(log) == "FATAL:a.cc(1)] no room"
    assert of_launch("BrowserType.launch: Timeout\nlog") == "Timeout"


def test_flags_keep_traffic_in_sight() -> None:
    flags = arguments(None)
    assert {"--disable-quic", "--no-proxy-server"} <= set(flags)
    assert "--force-webrtc-ip-handling-policy=disable_non_proxied_udp" in flags
    proxied = arguments("http://127.0.0.1:3128")
    assert "--no-proxy-server" not in proxied
    assert "--proxy-server=http://127.0.0.1:3128" in proxied
    assert not any(flag.startswith("--remote-debugging-port") for flag in flags)


def test_shared_memory_is_used_when_there_is_enough(tmp_path: Path) -> None:
    assert unwanted_arguments(tmp_path) == ["--disable-dev-shm-usage"]
    assert unwanted_arguments(tmp_path / "missing") == []


def test_the_environment_of_chromium_has_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    variables = environment(Directories(tmp_path))
    assert "API_KEY" not in variables
    assert {variables[name] for name in ("HOME", "TMPDIR")} == {
        str(tmp_path / "home"),
        str(tmp_path / "tmp"),
    }


def test_directories_are_private_and_cleaned(tmp_path: Path) -> None:
    directories = Directories(tmp_path / "b")
    directories.prepare()
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (tmp_path / "b").iterdir())
    (directories.downloads / "old").write_bytes(b"x")
    (directories.profile / "SingletonLock").symlink_to("host-1")
    (directories.profile / "Cookies").write_bytes(b"x")
    directories.prepare()
    assert list(directories.downloads.iterdir()) == []
    assert [path.name for path in directories.profile.iterdir()] == ["Cookies"]
    directories.forget_profile()
    assert list(directories.profile.iterdir()) == []


def test_a_folder_with_a_long_path_keeps_its_sockets_elsewhere(tmp_path: Path) -> None:
    directories = Directories(tmp_path / ("x" * 100))
    directories.prepare()
    elsewhere = directories.temporary
    assert len(str(elsewhere)) < 60
    assert elsewhere.is_dir()
    directories.discard()
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("path", "suggested", "expected"),
    [
        (None, "a b.csv", "/workspace/downloads/a b.csv"),
        ("", "../../etc/passwd", "/workspace/downloads/passwd"),
        (None, "..", "/workspace/downloads/download"),
        (None, "a\x00b\nc\\d", "/workspace/downloads/a_b_c_d"),
        (None, "x" * 999, "/workspace/downloads/" + "x" * 120),
        ("out/", "a.csv", "/workspace/out/a.csv"),
        ("/workspace/b.csv", "a.csv", "/workspace/b.csv"),
    ],
)
def test_where_a_download_goes(path: str | None, suggested: str, expected: str) -> None:
    assert destination(path, suggested) == expected


@pytest.mark.parametrize(
    ("body", "kind", "is_page", "expected"),
    [
        (b"<p>", "text/html", True, "text/html; charset=utf-8"),
        (b"\xff", "text/html", True, "text/html"),
        (b"a,b", "text/csv", True, "text/plain; charset=utf-8"),
        (b"a,b", "text/csv", False, "text/csv; charset=utf-8"),
        (b"x", "application/javascript", False, "application/javascript; charset=utf-8"),
        (b"{}", "application/json", True, "application/json"),
        (b"x", "image/png", True, "image/png"),
        (b"x", "text/html; charset=latin-1", True, "text/html; charset=latin-1"),
    ],
)
def test_content_types(body: bytes, kind: str, is_page: bool, expected: str) -> None:
    assert content_type(body, kind, is_page=is_page) == expected


def test_pictures_are_bounded() -> None:
    shot = bounded(0, 0, 1280, 90_000, 8000)
    assert shot.clip == {"x": 0, "y": 0, "width": 1280, "height": 8000}
    assert "1280 x 90000" in shot.note
    assert bounded(1, 2, 30, 40, 8000).note == ""


def test_an_excerpt_goes_on_where_the_last_one_ended() -> None:
    snapshot = "\n".join(f"- line {number}" for number in range(1, 101))
    first = excerpt(snapshot, 500, 1)
    note = first.splitlines()[-1]
    shown_lines = len(first.splitlines()) - 1
    assert note.startswith(f"[Lines 1-{shown_lines} of 100.")
    assert f"start_line={shown_lines + 1};" in note
    rest = excerpt(snapshot, 5000, shown_lines + 1).splitlines()
    assert rest[0] == f"- line {shown_lines + 1}"
    assert rest[-1] == f"[Lines {shown_lines + 1}-100 of 100.]"


def test_an_excerpt_of_odd_snapshots() -> None:
    assert excerpt("", 100, 1) == "(the page is empty)"
    assert excerpt("- a", 100, 99) == "- a"
    assert len(excerpt("- " + "x" * 50_000, 100, 1)) < 1100
    assert excerpt("- a\n- b", 100, 0) == "- a\n- b"


def test_headings() -> None:
    assert heading(" A \n B ", "http://h/") == "Page: A B (http://h/)"
    assert heading("", f"{ORIGIN}/a.html") == "Page: /workspace/a.html"
    assert Address("http://user:pw@h:1/x", "").host == "h:1"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date", "2026-01-31", "31.1.2026"),
        ("time", "13:45", "1 pm"),
        ("datetime-local", "2026-01-31T13:45", "2026-01-31"),
        ("month", "2026-01", "January"),
        ("week", "2026-W05", "5"),
        ("color", "#FF8800", "orange"),
    ],
)
def test_the_form_of_values(kind: str, good: str, bad: str) -> None:
    check_value(good, kind, "F")
    check_value("", kind, "F")
    check_value(bad, "text", "F")
    with pytest.raises(ToolFault, match=f"F takes a {kind} in the form"):
        check_value(bad, kind, "F")
