"""What the kernel tells of the processes on a terminal. Linux only; elsewhere nothing is known."""

import os
import platform

from console_automation.core.text import one_line
from console_automation.ports.machine import Foreground

_READS = {"x86_64": 0, "aarch64": 63}
#: select takes the highest descriptor it watches, plus one, as its first argument
_SELECTS = {"x86_64": (23, 270), "aarch64": (72,)}
#: poll takes the number of descriptors as its second
_POLLS = {"x86_64": (7, 271), "aarch64": (73,)}
_TERMINALS = ("/dev/pts/", "/dev/tty")


class SystemProcesses:
    """Reads /proc."""

    def foreground(self, pid: int) -> Foreground | None:
        """Return the program in the foreground of a process's terminal."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            leader = int(fields[5])
        except (OSError, IndexError, ValueError):
            return None
        if leader <= 0:
            return None
        try:
            with open(f"/proc/{leader}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            command = ""  # it has just ended, and the shell has not taken the terminal back yet
        return Foreground(
            pid=leader, command=one_line(command, 200), is_waiting=_is_reading(leader)
        )

    def directory(self, pid: int) -> str | None:
        """Return a process's working directory."""
        try:
            return os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            return None


def _is_reading(pid: int) -> bool | None:
    """Whether a process waits for its terminal alone, by the system call it is in."""
    try:
        with open(f"/proc/{pid}/syscall", "rb") as file:
            words = file.read().split()
        number, *arguments = (int(word, 0) for word in words)
    except (OSError, ValueError):
        return None  # it runs, or we may not know
    machine = platform.machine()
    if number == _READS.get(machine):
        return _is_terminal(pid, arguments[0])
    if number in _SELECTS.get(machine, ()):
        return arguments[0] == 1
    if number in _POLLS.get(machine, ()):
        return arguments[1] == 1
    return False


def _is_terminal(pid: int, descriptor: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith(_TERMINALS)
    except OSError:
        return False
