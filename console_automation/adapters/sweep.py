"""Ends what a run left behind when its shim was killed.

Such processes have no supervisor: nobody keeps their deadline or reads their output. They are known
by the run's id in their environment, which no other process can have. Pids on record are never used.
"""

import os
import signal
from pathlib import Path

VARIABLE = "CONSOLE_AUTOMATION_RUN"
_ROUNDS = 1000
_QUIET_ROUNDS = 30  #: in a row; each may just have missed one who forks and exits all the time


def sweep(run_id: str) -> int:
    """Kill every process whose environment names the run, and return how many were hit.

    A process is held by a pidfd before its environment is read, so the signal cannot reach another
    one. Where there are no pidfds nothing is done.
    """
    if not hasattr(os, "pidfd_open"):
        return 0
    mark = f"{VARIABLE}={run_id}".encode()
    total = quiet = 0
    known: set[str] = set()
    for _ in range(_ROUNDS):
        pids = set(filter(str.isdigit, os.listdir("/proc")))
        # After the first round only newcomers are looked at, and soon enough to meet them alive.
        hit = sum(_kill_if_marked(int(pid), mark) for pid in pids - known)
        known = pids
        total += hit
        quiet = 0 if hit else quiet + 1
        if quiet == _QUIET_ROUNDS:
            break
    return total


def _kill_if_marked(pid: int, mark: bytes) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if mark not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)
