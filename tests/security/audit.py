"""What a tool that looks for ways out of a container lists, as lines that can be compared.

Run by the hands in a sandbox, and as a control where little holds them. What depends on the host
(versions of cgroups, names of its disks, sizes) is left out.
"""

from __future__ import annotations

LOOK = r"""
import os, socket, stat, subprocess
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines()
    if ":\t" in line)
found = [f"{key} {status[key]}" for key in ("CapEff", "CapPrm", "CapBnd", "Seccomp")]
found.append(f"uid {os.getuid()} groups {sorted(os.getgroups())}")
for line in open("/proc/self/mounts"):
    _, place, _, options, *_ = line.split()
    seen = os.stat(place) if os.path.exists(place) else os.stat("/")
    covered = seen.st_rdev == os.makedev(1, 3)
    if stat.S_ISSOCK(seen.st_mode):  # find takes what lies below a mount for what it is
        found.append(f"socket {place}")
    read_only = "ro" in options.split(",") or not os.access(place, os.W_OK)
    if not covered and not (read_only and place.startswith(("/proc", "/sys"))):
        found.append(f"mount {place} {'read-only' if read_only else 'writable'}")
for folder, _, names in os.walk("/dev"):
    for name in names:
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not folder.startswith("/dev/pts"):
            found.append(f"device {path}")
def lines(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1]
found += [f"set-id {path}" for path in lines("find / -xdev -perm /6000 -type f 2>/dev/null")]
found += [f"open to all {path}" for path in lines("find / -xdev -perm -2 ! -type l 2>/dev/null")]
found += [f"socket {path}" for path in lines(
    "find / -type s ! -path '/proc/*' ! -path '/tmp/*' 2>/dev/null")]
found += [f"kernel setting {path}" for path in lines(
    "find /proc/sys /sys /proc/sysrq-trigger -writable -type f 2>/dev/null")]
for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt"):
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if not os.path.islink(path) and "security.capability" in os.listxattr(path):
                found.append(f"capable {path}")
for kind in ("tcp", "tcp6", "udp", "udp6"):
    for line in open(f"/proc/net/{kind}").read().splitlines()[1:]:
        address, state, user = (line.split()[index] for index in (1, 3, 7))
        port = int(address.rpartition(":")[2], 16)
        if state == "0A" or kind.startswith("udp"):
            found.append(f"{kind} port {port if port < 32768 else 'given'} of user {user}")
found += [f"interface {name}" for _, name in socket.if_nameindex()]
found += [f"variable {name}" for name in os.environ]
tools = "capsh docker gcc gdb kubectl mount nc nmap nsenter runc socat ssh strace su sudo tcpdump"
found += [f"tool {name}" for name in lines(f"for t in {tools}; do command -v $t; done")]
if open("/proc/self/uid_map").read().split() == ["0", "0", "4294967295"]:
    found.append("user namespace of the host")
for name in os.listdir("/proc"):
    if name.isdigit() and open(f"/proc/{name}/comm").read().strip() in ("sshd", "systemd"):
        found.append(f"service {name}")
SECRETS = ("id_rsa", "id_ed25519", ".netrc", ".pgpass", ".git-credentials", "credentials.json",
    "kubeconfig", ".dockerconfigjson", ".bash_history", ".python_history", "authorized_keys")
found += [f"secret {path}" for path in lines("find / -xdev '(' " + " -o ".join(
    f"-name {name}" for name in SECRETS) + " ')' -type f 2>/dev/null")]
found += [f"secret {path}" for path in (
    "/var/run/secrets/kubernetes.io", "/root/.aws", "/root/.kube", "/root/.docker")
    if os.path.exists(path)]
found += [f"private key {path}" for path in lines(
    "grep -rlI -e 'PRIVATE KEY''-----' /etc /home /root /run /tmp /var /workspace "
    "2>/dev/null")]
found += [f"readable {path}" for path in ("/etc/shadow", "/etc/gshadow", "/proc/1/environ",
    "/proc/1/root", "/proc/kcore", "/proc/vmallocinfo", "/proc/slabinfo", "/dev/mem")
    if os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0))]
import sys, sysconfig
ways = [*os.environ["PATH"].split(":"), *filter(os.path.isdir, sys.path), "/etc", "/etc/cron.d",
    "/etc/ld.so.conf.d", "/etc/profile.d", "/lib", "/usr/lib", "/opt/sandlot", "/root"]
found += [f"searched and writable {path}" for path in ways if os.access(path, os.W_OK)]
if os.path.exists("/etc/ld.so.preload"):
    found.append("libraries preloaded for all")
if any(int(line.split()[0], 16) for line in open("/proc/kallsyms")):
    found.append("addresses of the kernel")
if os.path.exists("/proc/2/comm") and open("/proc/2/comm").read() == "kthreadd\n":
    found.append("processes of the host")
for line in open("/proc/net/unix").read().splitlines()[1:]:
    name = line.split()[7:]
    if name and name[0].startswith("@"):
        found.append(f"abstract socket {name[0].rstrip('0123456789abcdef-')}")
for path in ("/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing", "/sys/fs/bpf",
        "/proc/sys/fs/binfmt_misc", "/sys/devices/virtual/powercap", "/proc/acpi", "/proc/scsi"):
    try:
        found += [f"kernel part {path}"] if os.listdir(path) else []
    except OSError:
        pass
def namespace(kind):
    return os.stat(f"/proc/self/ns/{kind}").st_ino
FIRST = {"uts": 0xEFFFFFFE, "ipc": 0xEFFFFFFF, "pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB}
found += [f"{kind} namespace of the host" for kind, first in FIRST.items()
    if namespace(kind) == first]
print("\n".join(sorted(set(found))))
"""
