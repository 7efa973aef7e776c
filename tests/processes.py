"""Looking at real processes: who carries a mark, who is alive, who is whose parent."""

import fcntl
import json
import os
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

_marks = count(os.getpid() * 1000)
_MARK = re.compile(rb"1000\.[0-9]+")

#: A Python program that forks and exits every two milliseconds, for ever. Its pid is never known for
#: long, so what tells whether it lives is the lock it holds on the file that is its argument.
RUNNER = """
import fcntl, os, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
while True:
    if os.fork(): os._exit(0)
    time.sleep(0.002)
"""


def new_mark() -> str:
    """Return a number of seconds to sleep that no other process on the machine sleeps."""
    return f"1000.{next(_marks)}"


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    return _stat(pid) is not None


def parent_of(pid: int) -> int:
    """Return the pid of a live process's parent."""
    seen = _stat(pid)
    assert seen, f"{pid} is not alive"
    return int(seen[1])


def census() -> dict[str, list[int]]:
    """Return the live processes that have a mark in their arguments or environment, by mark."""
    found: dict[str, list[int]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        seen = _content(f"/proc/{pid}/cmdline") + _content(f"/proc/{pid}/environ")
        for mark in set(_MARK.findall(seen)):
            if is_alive(int(pid)):
                found.setdefault(mark.decode(), []).append(int(pid))
    return found


def bearing(mark: str) -> list[int]:
    """Return the live processes that have the mark in their arguments or environment."""
    return census().get(mark, [])


def is_held(path: str) -> bool:
    """Whether a process, or one that it forked, still holds the lock on a file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def resident_bytes(pid: int) -> int:
    """Return how much memory a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_a_child(work: Callable[[], Any]) -> Any:
    """Return what `work` returns, done in a process of its own, where nobody else's children are."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = {"result": work()}
        except BaseException as error:
            result = {"error": repr(error)}
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert "error" not in answer, answer["error"]
    return answer["result"]


def _stat(pid: int) -> list[str] | None:
    fields = _content(f"/proc/{pid}/stat").rpartition(b")")[2].decode().split()
    return fields if fields and fields[0] not in "ZX" else None


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
