"""Files and artifacts: what an agent or a caller makes stays a file, in its own place."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
ROOT = Path(__file__).parents[2]
OUTSIDE = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e/etc/passwd",
    "/etc/passwd",
    "..\\..\\etc\\passwd",
    "workspace/../../etc/passwd",
    "workspace/link",
    "workspace/folder/passwd",
    "proc/self/environ",
    "run/sandlot/gateway.sock",
    "workspace/a%00b",
]


@pytest.fixture(scope="module")
def environment(sandlot: RunningController) -> str:
    """An environment with a good file and traps beside it."""
    make = (
        "echo good > good.txt; ln -s /etc/passwd link; ln -s /etc folder; mkfifo pipe; "
        "echo '<script>alert(1)</script>' > page.html; cp page.html page.svg; "
        "printf 'GIF89a=1;alert(1)' > both.gif"
    )
    run = sandlot.run(fence("bash", make))
    assert run.environment_id
    return run.environment_id


def files_of(environment: str, path: str) -> str:
    return f"/v1/environments/{environment}/files/{path}?alt=media"


@pytest.mark.parametrize("path", OUTSIDE)
def test_f01_nothing_outside_is_downloaded(
    http: httpx2.Client, environment: str, path: str
) -> None:
    answer = http.get(httpx2.URL(f"{http.base_url}".rstrip("/") + files_of(environment, path)))
    assert answer.status_code in (400, 404), answer.text
    assert "root:" not in answer.text
    assert http.get(files_of(environment, "workspace/good.txt")).text == "good\n"


def test_f01_what_is_no_file_is_not_waited_for(http: httpx2.Client, environment: str) -> None:
    assert http.get(files_of(environment, "workspace/pipe")).status_code == 400


NAMES = [
    'quote".txt',
    "new\nline.txt",
    "tab\t.txt",
    "\u202egnp.exe",
    "cafe\u0301.txt",
    "caf\u00e9.txt",
    "-rf",
    "CON",
    "<img src=x onerror=alert(1)>",
    "😀" * 60,
    "semi;colon=1",
    "percent%41",
]


@pytest.mark.parametrize("name", NAMES)
def test_f04_names_come_back_and_stay_in_their_header(
    sandlot: RunningController, http: httpx2.Client, environment: str, name: str
) -> None:
    write = f"open({name!r}, 'w').write('named')"
    assert sandlot.run(fence("python", write), environment).status == "completed"
    answer = http.get(files_of(environment, f"workspace/{quote(name, safe='')}"))
    assert (answer.status_code, answer.text) == (200, "named")
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ") and disposition.isascii()
    assert disposition.endswith(f"filename*=UTF-8''{quote(name, safe='')}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.html", "application/octet-stream"),
        ("page.svg", "application/octet-stream"),
        ("both.gif", "image/gif"),
        ("good.txt", "text/plain; charset=utf-8"),
    ],
)
def test_f06_no_browser_runs_what_is_served(
    http: httpx2.Client, environment: str, name: str, kind: str
) -> None:
    headers = http.get(files_of(environment, f"workspace/{name}")).headers
    assert headers["content-type"] == kind
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "wrong",
    ["env_..%2f..%2fx", "x" * 10_000, "١٢٣", "ENV_1", "' OR 1=1 --", "%", "..", "a%00b"],
)
def test_f07_ids_are_not_paths_nor_sql(http: httpx2.Client, wrong: str) -> None:
    name = wrong if "%" in wrong and wrong != "%" else quote(wrong, safe="")
    for address in (f"/v1/environments/{name}", f"/v1/environments/{name}/files/workspace/x"):
        answer = http.get(httpx2.URL(f"{http.base_url}".rstrip("/") + address))
        assert answer.status_code in (400, 404), answer.text


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """An archive of one member, set-user-id where that means something, with a good one before."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        if kind == tarfile.DIRTYPE:
            way = tarfile.TarInfo("way")
            way.type, way.linkname = tarfile.SYMTYPE, "/tmp"
            archive.addfile(way)
            kind = tarfile.REGTYPE
        one = tarfile.TarInfo(name)
        one.type, one.linkname, one.mode = kind, link, 0o6755
        one.devmajor, one.devminor = 7, 0
        one.size = 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(one, io.BytesIO(b"evil") if one.size else None)
    return packed.getvalue()


HOSTILE = {
    "up": member("../../tmp/evil-up"),
    "absolute": member("/tmp/evil-absolute"),
    "through-a-link": member("way/evil-through", tarfile.DIRTYPE),
    "hard-link": member("evil-hard", tarfile.LNKTYPE, "../../../etc/passwd"),
    "device": member("evil-device", tarfile.BLKTYPE),
    "set-uid": member("evil-set-uid"),
}


LOOK = (
    "find / -name 'evil*' -not -path '/workspace/*' -not -path '/proc/*'; "
    "find /workspace -name 'evil*' '(' -perm /6000 -o -type b -o -links +1 ')'; echo end"
)


@pytest.mark.parametrize("name", HOSTILE)
def test_f03_a_hostile_archive_writes_nowhere_else(
    sandlot: RunningController, http: httpx2.Client, environment: str, name: str
) -> None:
    url = f"/upload/v1/environments/{environment}/files/workspace/from-{name}"
    answer = http.put(url, params={"extract": "true"}, content=HOSTILE[name])
    assert answer.status_code in (200, 400), answer.text
    found = sandlot.run(fence("bash", f"({LOOK}) 2>/dev/null"), environment)
    assert results(found) == ["end\n"]


def test_f03_control_what_a_hostile_archive_wrote_would_be_found(
    sandlot: RunningController, environment: str
) -> None:
    plant = (
        "mkdir /workspace/planted; cd /workspace/planted; echo > evil-set-uid; "
        "chmod 6755 evil-set-uid; echo > evil-hard; ln evil-hard other; echo > /tmp/evil-up"
    )
    clean = "rm -r /workspace/planted /tmp/evil-up"
    found = sandlot.run(fence("bash", plant, f"({LOOK}) 2>/dev/null", clean), environment)
    for name in ("evil-set-uid", "evil-hard", "/tmp/evil-up"):
        assert name in results(found)[1]


def test_f03_a_good_archive_is_unpacked(http: httpx2.Client, environment: str) -> None:
    url = f"/upload/v1/environments/{environment}/files/workspace/from-good"
    assert http.put(url, params={"extract": "true"}, content=member("good")).status_code == 200
    assert http.get(files_of(environment, "workspace/from-good/good")).text == "evil"


def test_f09_the_archive_calls_of_docker_are_not_there() -> None:
    code = list((ROOT / "runtime").rglob("*.py"))
    assert len(code) > 100
    calls = [
        (path.name, word)
        for path in code
        for word in ("put_archive", "get_archive")
        if f".{word}(" in path.read_text("utf-8")
    ]
    assert calls == []
