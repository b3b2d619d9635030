"""What hostile code tries, in a sandbox and, as a control, the same where little holds it.

Each attempt ends as `done` or with the reason why not. None changes anything outside: files of the
kernel are opened and not written, calls get arguments that make them fail after the check.
"""

from __future__ import annotations

ATTEMPTS = r"""
import ctypes, glob, json, mmap, os, socket, stat, struct, subprocess
libc = ctypes.CDLL(None, use_errno=True)
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)

def attempt(call):
    try:
        call()
    except OSError as error:
        return error.strerror
    return "done"

def syscall(number, *arguments):
    child = os.fork()
    if child == 0:
        ctypes.set_errno(0)
        failed = libc.syscall(number, *arguments) == -1
        os._exit(ctypes.get_errno() if failed else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def old_call(number):
    # of 32-bit programs, whose numbers are others; how its process ended
    place = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    place.write(b"\x53\xb8" + struct.pack("<I", number) + b"\xcd\x80\x5b\xc3")
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(place)))
    child = os.fork()
    if child == 0:
        os._exit(0 if call() > 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def checked(call):
    if call() != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def writable(path):
    return attempt(lambda: os.close(os.open(path, os.O_WRONLY)))

def readable(path):
    def read():
        with open(path, "rb") as file:
            if not file.read(16):
                raise OSError(0, "empty")
    return attempt(read)

def opened(path):
    return attempt(lambda: os.close(os.open(path, os.O_RDONLY)))

def send(host, port):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", (host, port))

def make_device():
    os.mknod("/tmp/probe", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.unlink("/tmp/probe")

def listed(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []

def others():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                yield int(name), os.stat(f"/proc/{name}").st_uid
            except FileNotFoundError:
                continue

def of_others(what, look=readable):
    return {
        str(pid): look(f"/proc/{pid}/{what}") for pid, uid in others() if uid != os.getuid()
    }

CLONE_NEWUSER = 0x10000000
found = {
    "status": {key: status.get(key) for key in (
        "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp")},
    "no_new_privileges": libc.prctl(39, 0, 0, 0, 0),
    "uid": os.getuid(),
    "engine_sockets": [path for path in (
        "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
        "/run/crio/crio.sock") if os.path.exists(path)],
    "mount_tmpfs": attempt(lambda: checked(lambda: libc.mount(b"n", b"/mnt", b"tmpfs", 0, None))),
    "mount_bind": attempt(lambda: checked(lambda: libc.mount(b"/etc", b"/mnt", b"", 4096, None))),
    "umount": attempt(lambda: checked(lambda: libc.umount2(b"/dev/shm", 2))),
    "namespaces": {"unshare": syscall(272, CLONE_NEWUSER), "clone": syscall(56, CLONE_NEWUSER | 17),
        "clone3": syscall(435, 0, 0), "setns": syscall(308, 0, 0), "chroot": syscall(161, b"/")},
    "writable": {path: writable(path) for path in (
        "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max",
        "/usr/bin/env", "/etc/passwd")},
    "groups": {path: writable(path) for name in ("notify_on_release", "cgroup.procs")
        for path in glob.glob(f"/sys/fs/cgroup/pids/{name}") + glob.glob(f"/sys/fs/cgroup/{name}")},
    "readable": {path: readable(path) for path in (
        "/proc/kcore", "/proc/keys", "/proc/timer_list")},
    "firmware": listed("/sys/firmware"),
    "dmesg": "done" if libc.klogctl(3, ctypes.create_string_buffer(64), 64) >= 0 else "refused",
    "mknod": attempt(make_device),
    "devices": sorted(set(os.listdir("/dev")) & {
        "kvm", "mem", "vda", "sda", "fuse", "loop0", "net"}),
    "calls": {name: syscall(number, 16, 0, 0, 0, 0) for name, number in {
        "bpf": 321, "io_uring_setup": 425, "userfaultfd": 323, "perf_event_open": 298,
        "keyctl": 250, "add_key": 248, "request_key": 249, "open_by_handle_at": 304,
        "ptrace": 101, "process_vm_readv": 310, "kcmp": 312, "fsopen": 430, "quotactl": 179,
        "kexec_load": 246, "init_module": 175, "finit_module": 313, "pidfd_getfd": 438,
        "move_mount": 429, "open_tree": 428, "process_madvise": 440}.items()},
    "sockets": {name: attempt(lambda: socket.socket(*arguments).close()) for name, arguments in {
        "vsock": (40, 1), "alg": (38, 5), "packet": (17, 3), "netfilter": (16, 3, 12),
        "raw": (2, 3, 1), "raw6": (10, 3, 58), "ping": (2, 2, 1), "sctp": (2, 1, 132),
        "mptcp": (2, 1, 262), "udplite": (2, 2, 136), "can": (29, 3),
        "bluetooth": (31, 3)}.items()},
    "ordinary_sockets": {name: attempt(lambda: socket.socket(*arguments).close())
        for name, arguments in {
        "unix": (1, 1), "tcp": (2, 1), "tcp_named": (2, 1, 6), "udp": (2, 2, 17), "tcp6": (10, 1),
        "cloexec": (2, 1 | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK),
        "route": (16, 3, 0)}.items()},
    "environments_of_others": of_others("environ"),
    "memory_of_others": of_others("mem", opened),
    "maps_of_others": of_others("maps"),
    "descriptors_of_others": {str(pid): listed(f"/proc/{pid}/fd") for pid, uid in others()
        if uid != os.getuid()},
    "signalled": {str(pid): attempt(lambda: os.kill(pid, 0)) for pid, uid in others()
        if uid != os.getuid()},
    "roles": sorted({uid for _, uid in others()}),
    "gateway": attempt(lambda: socket.socket(socket.AF_UNIX).connect("/run/sandlot/gateway.sock")),
    "write_guest": attempt(lambda: open("/opt/sandlot/lib/probe", "w").close()),
    "replace_socket": attempt(lambda: os.unlink("/run/sandlot/gateway.sock")),
    "interfaces": sorted(name for _, name in socket.if_nameindex()),
    "routes": len(open("/proc/net/route").read().splitlines()) - 1,
    "connected": {host: attempt(lambda: socket.create_connection((host, port), 2).close())
        for host, port in {"1.1.1.1": 53, "172.17.0.1": 2375, "10.0.0.1": 80,
        "169.254.169.254": 80, "2606:4700:4700::1111": 53}.items()},
    "sent": {host: attempt(lambda: send(host, port)) for host, port in {
        "8.8.8.8": 53, "172.17.0.1": 53, "10.0.0.1": 53}.items()},
    "old_call": old_call(20) if os.uname().machine == "x86_64" else None,
    "niceness": syscall(141, 0, 0, -20),
    "set_uid": subprocess.run("find / -xdev -perm /6000 -type f 2>/dev/null", shell=True,
        capture_output=True, text=True).stdout.split(),
}
print(json.dumps(found))
"""
