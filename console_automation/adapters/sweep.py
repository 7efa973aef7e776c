"""Ends what a run left behind when its shim was killed.

Such processes have no supervisor: nobody keeps their deadline or reads their output. They are known
by the run's id in their environment, which no other process can have. Pids on record are never used.
"""

import os
import signal
from pathlib import Path

VARIABLE = "CONSOLE_AUTOMATION_RUN"
_ROUNDS = 20


def sweep(run_id: str) -> int:
    """Kill every process whose environment names the run, and return how many were hit.

    A process is held by a pidfd before its environment is read, so the signal cannot reach another
    one. Where there are no pidfds nothing is done.
    """
    if not hasattr(os, "pidfd_open"):
        return 0
    mark = f"{VARIABLE}={run_id}".encode()
    total = 0
    for _ in range(_ROUNDS):
        hit = sum(_kill_if_marked(int(pid), mark) for pid in os.listdir("/proc") if pid.isdigit())
        total += hit
        if not hit:
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
