"""What code in a sandbox cannot do, and that it is really the sandbox that holds it."""

from __future__ import annotations

import json

import docker
import pytest

from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

PROBE = """
import ctypes, json, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
def refused(call):
    try:
        call()
    except OSError as error:
        return error.strerror
    return None
def syscall(number, *arguments):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *arguments) == -1 else 0
CLONE_NEWUSER = 0x10000000
print(json.dumps({
    "uid": os.getuid(),
    "groups": os.getgroups(),
    "capabilities": [status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
    "no_new_privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "write_root": refused(lambda: open("/usr/x", "w")),
    "write_guest": refused(lambda: open("/opt/sandlot/lib/runtime/x", "w")),
    "sockets": refused(lambda: os.listdir("/run/sandlot")),
    "gateway": refused(lambda: socket.socket(socket.AF_UNIX).connect("/run/sandlot/gateway.sock")),
    "environ_of_1": refused(lambda: open("/proc/1/environ").read()),
    "kill_1": refused(lambda: os.kill(1, 9)),
    "connect": refused(lambda: socket.create_connection(("192.0.2.1", 53), 2)),
    "vsock": refused(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "alg": refused(lambda: socket.socket(38, socket.SOCK_SEQPACKET)),
    "packet": refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "mount": libc.mount(b"none", b"/mnt", b"tmpfs", 0, None),
    "unshare": libc.unshare(CLONE_NEWUSER),
    "numbers": {name: syscall(number, 16, 0, 0, 0, 0) for name, number in {
        "bpf": 321, "io_uring_setup": 425, "userfaultfd": 323, "perf_event_open": 298,
        "keyctl": 250, "add_key": 248, "open_by_handle_at": 304, "kexec_load": 246,
        "init_module": 175, "setns": 308, "ptrace": 101, "process_vm_readv": 310,
    }.items()},
    "docker": [p for p in ("/var/run/docker.sock", "/run/containerd") if os.path.exists(p)],
    "devices": sorted(set(os.listdir("/dev")) & {"kvm", "mem", "vda", "fuse", "loop0", "net"}),
    "set_uid": subprocess.run("find / -xdev -perm /6000 -type f 2>/dev/null", shell=True,
                              capture_output=True, text=True).stdout.split(),
    "environ": sorted(os.environ),
}))
"""


@pytest.fixture(scope="module")
def seen(sandlot: RunningController) -> dict[str, object]:
    run = sandlot.run(fence("python", PROBE))
    assert run.status == "completed", run
    return json.loads(results(run)[0])


def test_code_has_no_rights(seen: dict[str, object]) -> None:
    assert seen["uid"] == 1000 and seen["groups"] in ([], [1000])
    assert set(seen["capabilities"]) == {"0" * 16}  # type: ignore[call-overload]
    assert seen["no_new_privileges"] == "1" and seen["seccomp"] == "2"
    assert seen["set_uid"] == []


def test_there_is_no_network(seen: dict[str, object]) -> None:
    assert seen["interfaces"] == ["lo"]
    assert seen["connect"] is not None
    assert seen["vsock"] and seen["alg"] and seen["packet"]


def test_the_guest_is_out_of_reach(seen: dict[str, object]) -> None:
    for what in ("sockets", "gateway", "environ_of_1", "kill_1", "write_root", "write_guest"):
        assert seen[what], f"{what} was not refused"


def test_the_kernel_is_not_offered(seen: dict[str, object]) -> None:
    assert seen["mount"] == -1 and seen["unshare"] == -1
    allowed = [name for name, errno in seen["numbers"].items() if errno != 1]  # type: ignore[attr-defined]
    assert allowed == [], "each is refused with EPERM by the seccomp profile"
    assert seen["docker"] == [] and seen["devices"] == []


def test_the_probe_succeeds_where_nothing_holds_it(image: str) -> None:
    """The same probe in a container without our profile finds what it looks for."""
    client = docker.from_env()
    network = client.networks.create("sandlot-test-weak", internal=True)
    try:
        output = client.containers.run(
            image,
            ["-c", PROBE],
            entrypoint="/usr/bin/python3",
            cap_add=["SYS_ADMIN", "SYS_PTRACE"],
            security_opt=["seccomp=unconfined"],
            network=network.name,
            init=True,
            remove=True,
        )
    finally:
        network.remove()
        client.close()
    weak = json.loads(output)
    assert weak["uid"] == 0 and set(weak["capabilities"]) != {"0" * 16}
    assert weak["unshare"] == 0 and weak["write_root"] is None
    assert "eth0" in weak["interfaces"] and weak["vsock"] is None
    assert {weak["numbers"][name] for name in ("ptrace", "keyctl")}.isdisjoint({1})


def test_another_environment_is_not_reached(sandlot: RunningController) -> None:
    first = sandlot.run(fence("bash", "echo mine > secret.txt; echo x > /dev/shm/s; ls /dev/shm"))
    second = sandlot.run(
        fence("bash", "ls -a /workspace /dev/shm /tmp; cat /proc/net/unix | wc -l")
    )
    assert first.environment_id != second.environment_id
    assert "secret.txt" not in results(second)[0] and "\ns\n" not in results(second)[0]


def test_a_fork_bomb_is_contained(sandlot: RunningController) -> None:
    bomb = "for i in $(seq 5000); do sleep 30 & done 2>&1 | tail -1; wait -n; true"
    started = sandlot.start(fence("bash", bomb))
    other = sandlot.run(fence("python", "print('unharmed')"))
    assert results(other) == ["unharmed\n"]
    assert sandlot.client.interactions.cancel(started.id).status == "cancelled"
