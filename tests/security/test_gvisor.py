"""The attempts where gVisor is the runtime; `scripts/test-runsc` brings a daemon that knows it."""

from __future__ import annotations

import json
import platform
import re

import pytest

from tests.security.conftest import IS_GVISOR
from tests.support.sandlot import RunningController, fence, results

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("unharmed"),
    pytest.mark.skipif(not IS_GVISOR, reason="no gVisor here; scripts/test-runsc brings one"),
]


def test_e18_another_kernel_answers(unharmed: RunningController) -> None:
    code = "import platform; print(platform.release())"
    assert results(unharmed.run(fence("python", code)))[0].strip() != platform.release()


def test_e18_devices_lead_nowhere(unharmed: RunningController) -> None:
    code = """
import os, stat
for kind, number in ((stat.S_IFBLK, os.makedev(254, 0)), (stat.S_IFCHR, os.makedev(1, 1))):
    try:
        os.mknod("/tmp/node", kind | 0o600, number)
        os.open("/tmp/node", os.O_RDONLY)
    except OSError as error:
        print("refused", error.strerror)
    else:
        print("opened")
    if os.path.exists("/tmp/node"):
        os.unlink("/tmp/node")
"""
    said = results(unharmed.run(fence("python", code)))[0].splitlines()
    assert len(said) == 2 and all(line.startswith("refused") for line in said)


def test_e18_what_is_shown_of_others_holds_no_secret(unharmed: RunningController) -> None:
    code = """
import json, os
shown = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            shown[pid] = open(f"/proc/{pid}/environ").read()
    except OSError:
        pass
print(json.dumps(shown))
"""
    shown: dict[str, str] = json.loads(results(unharmed.run(fence("python", code)))[0])
    assert "PATH=" in shown["1"], "it is shown"
    everything = "\0".join(shown.values())
    assert unharmed.api_key and unharmed.api_key not in everything
    names = {entry.partition("=")[0].upper() for entry in everything.split("\0")}
    assert not [name for name in names if re.search("KEY|TOKEN|SECRET|PASS|CREDENTIAL", name)]
