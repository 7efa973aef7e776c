"""The state directory: private to one user, and held by one engine at a time.

The lock is an flock on `daemon.lock`. It goes with the process that holds it, however that dies, so
there is no stale lock and no pid file to believe. What is written in the file is for people.
"""

import fcntl
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from console_automation import __version__, paths
from console_automation.errors import Unavailable

_MOMENT_SECONDS = 1.0


class StateDirectory:
    """One state directory, with its runtime directory for sockets."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runs = home / "runs"
        self.runtime = Path(paths.runtime_directory(str(home)))
        self.log_file = home / "daemon.log"
        self._lock_file = home / "daemon.lock"
        self._lock = -1

    def acquire(self) -> None:
        """Take the lock. Raises Unavailable when another engine holds it, or as `try_acquire` does.

        It may be held for a moment longer than its engine lives: by a child of it between fork and
        exec.
        """
        limit = time.monotonic() + _MOMENT_SECONDS
        while not self.try_acquire():
            if time.monotonic() > limit:
                raise self._held()
            time.sleep(0.01)

    def _held(self) -> Unavailable:
        try:
            holder = json.loads(self._lock_file.read_bytes()[:4096])
            who = f" (pid {holder['pid']}, version {holder['version']})"
        except (ValueError, LookupError, TypeError):
            who = ""  # it may not have come to say so yet
        return Unavailable(
            f"{self.home} is in use by another process{who}. Talk to that daemon, stop it"
            " with `console-automation daemon stop`, or set CONSOLE_AUTOMATION_HOME to another"
            " directory."
        )

    def try_acquire(self) -> bool:
        """Create what is missing and take the lock; False when another engine holds it.

        Raises Unavailable when the directory is not this user's or cannot be used.
        """
        try:
            paths.make_private(str(self.home))
            paths.make_private(str(self.runtime))
            fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"The state directory cannot be used: {error}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._lock = fd
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, (json.dumps(self._describe()) + "\n").encode(), 0)
        except OSError:
            pass  # it is for people; on a full disk the lock holds without it
        return True

    def release(self) -> None:
        """Let go of the lock. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def instance(self) -> str:
        """Return what tells this directory from every other, also of other machines; made once."""
        path = self.home / "instance"
        try:
            return path.read_text("ascii").strip() or self._new_instance(path)
        except FileNotFoundError:
            return self._new_instance(path)

    def _new_instance(self, path: Path) -> str:
        fresh = path.with_suffix(".new")
        fresh.write_text(secrets.token_hex(8), "ascii")
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
        return path.read_text("ascii")

    def _describe(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "version": __version__, "since": round(time.time(), 3)}
