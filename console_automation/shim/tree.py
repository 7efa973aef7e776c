"""Every process that descends from a run, and how to end them all.

On Linux the shim is a subreaper: an orphan of the run becomes the shim's child, wherever it hides, so
walking down from the shim finds all of them. Ending freezes first: SIGSTOP goes to every descendant,
again and again until a walk finds nobody new, and only then SIGKILL. Killing while others still fork
loses against a process that forks and exits every few milliseconds.

A signal goes through a pidfd whose process was seen to descend from this shim after the pidfd was
opened, so that a pid that has been reused in the meantime is never hit.

Elsewhere only the process group can be reached: `GroupTree`, which is best effort and says so.
"""

import ctypes
import os
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15
_KILL_SECONDS = 5.0  # a process in uninterruptible sleep, or another user's, may not die at all

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def become_subreaper(name: str) -> bool:
    """Adopt orphaned descendants from now on; False where the system has no such thing."""
    if _libc is None:
        return False
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    return bool(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def _parent_and_state(pid: int) -> tuple[int, str] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0].decode()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.read(1 << 20).split())
        except OSError:
            continue
    return found


def _children_by_scan() -> dict[int, list[int]]:
    """Return the children of every process, for kernels without /proc/.../children."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            seen = _parent_and_state(int(entry))
            if seen:
                children.setdefault(seen[0], []).append(int(entry))
    return children


def command_of(pid: int) -> str:
    """Return a process's command line, cut to one short line."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            words = file.read(256).replace(b"\0", b" ").decode("utf-8", "replace").split()
    except OSError:
        return ""
    return " ".join(words)[:80]


class DescendantTree:
    """The descendants of this process (Linux)."""

    def __init__(self) -> None:
        self._root = os.getpid()
        self._listed = os.path.exists(f"/proc/self/task/{self._root}/children")
        self._has_pidfd = hasattr(os, "pidfd_open")

    def survivors(self) -> list[int]:
        """Return the pids of all descendants that have not ended."""
        scan = None if self._listed else _children_by_scan()
        found: list[int] = []
        todo = [self._root]
        seen = {self._root}
        while todo:
            parent = todo.pop()
            for pid in _children(parent) if scan is None else scan.get(parent, ()):
                if pid not in seen:
                    seen.add(pid)
                    todo.append(pid)
                    state = _parent_and_state(pid)
                    if state and state[1] not in "ZX":
                        found.append(pid)
        return found

    def signal(self, number: int) -> None:
        """Send a signal to every descendant, and let those that are stopped handle it."""
        for pid in self.survivors():
            self._send(pid, number)
            self._send(pid, signal.SIGCONT)

    def kill(self) -> list[int]:
        """End every descendant and return those that could not be ended."""
        give_up = time.monotonic() + _KILL_SECONDS
        while True:
            frozen: set[int] = set()
            while fresh := [pid for pid in self.survivors() if pid not in frozen]:
                for pid in fresh:
                    self._send(pid, signal.SIGSTOP)
                frozen.update(fresh)
            for pid in frozen:
                self._send(pid, signal.SIGKILL)
            if not frozen or time.monotonic() > give_up:
                return sorted(frozen)
            self._wait_for_deaths()

    def _send(self, pid: int, number: int) -> None:
        try:
            if not self._has_pidfd:
                if self._descends(pid):
                    os.kill(pid, number)
                return
            pidfd = os.pidfd_open(pid)
            try:
                if self._descends(pid):
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)
        except OSError:
            return

    def _descends(self, pid: int) -> bool:
        while pid > 1:
            seen = _parent_and_state(pid)
            if seen is None:
                return False
            pid = seen[0]
            if pid == self._root:
                return True
        return False

    def _wait_for_deaths(self) -> None:
        """Leave the killed a moment to die; they stay zombies, so nothing is reaped here."""
        time.sleep(0.001)


class GroupTree:
    """The process group of the run, for systems without subreapers: who leaves it is not found."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._give_up: float | None = None

    def survivors(self) -> list[int]:
        """Return the group's number while anybody is left in it, if only to be reaped."""
        try:
            os.killpg(self._group, 0)
        except OSError:
            return []
        return [self._group]

    def signal(self, number: int) -> None:
        """Send a signal to the group, and let those that are stopped handle it."""
        for each in (number, signal.SIGCONT):
            try:
                os.killpg(self._group, each)
            except OSError:
                return

    def kill(self) -> list[int]:
        """Kill the group; return it when it is still there some time after the first attempt.

        It does not wait: the killed stay in the group until they are reaped, which is the caller's.
        """
        self._give_up = self._give_up or time.monotonic() + _KILL_SECONDS
        try:
            os.killpg(self._group, signal.SIGKILL)
        except OSError:
            return []
        return self.survivors() if time.monotonic() > self._give_up else []


Tree = DescendantTree | GroupTree
