"""The host that this is, and whether a process still runs: what marks files that several machines see."""

import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LONGEST_HOST = 64


def this_host() -> str:
    """REID_HOST, else the machine's name: at most 64 letters, digits, dots, underscores and dashes."""
    return re.sub(r"[^\w.-]", "_", os.environ.get("REID_HOST") or socket.gethostname(), flags=re.ASCII)[:LONGEST_HOST]


@dataclass(frozen=True)
class Process:
    """A process of some host. `machine`: what tells hosts of one name apart; `boot`: the host's start; `space`: within which
    the pid counts (containers have their own); `started`: its own start. Empty where the system does not tell."""

    host: str
    machine: str
    boot: str
    space: str
    pid: int
    started: str

    def lives(self) -> bool | None:
        """Whether it still runs; None where that cannot be told from here."""
        here = this_process()
        if (self.host, self.machine) != (here.host, here.machine):
            return None
        if self.boot != here.boot:
            return False
        return running_since(self.pid) == self.started if self.space == here.space else None


def this_process() -> Process:
    """This process."""
    pid = os.getpid()
    return Process(this_host(), *_system(), pid, running_since(pid) or "")


@cache
def _system() -> tuple[str, str, str]:
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return _line("/etc/machine-id"), _line("/proc/sys/kernel/random/boot_id"), space


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def running_since(pid: int) -> str | None:
    """When a process of this host began, in the system's own count, empty where it does not tell; None if it does not run (any
    more)."""
    try:
        if pid <= 0:
            return None
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass  # it runs, as somebody else's
    state, *rest = _line(f"/proc/{pid}/stat").rpartition(")")[2].split() or [""]
    if state in ("Z", "X"):
        return None  # killed, and not yet buried
    return rest[18] if len(rest) > 18 else ""
