"""What the sessions on Windows need of pywinpty, over a POSIX terminal: so that their code runs here.

It keeps what is peculiar about the real one: text instead of bytes, a size in rows and columns, an end
that is told by EOFError, an exit status that knows no signals, and a close that is not prompt.
"""

import os
import select
import threading
import time
import warnings
from typing import Any

_TERMINATED = 15  #: the exit code that is left of what was ended by force


class PtyProcess:
    """A program on a terminal."""

    def __init__(self, terminal: Any) -> None:
        self.pid: int = terminal.pid
        self._terminal = terminal
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._is_over = False

    @classmethod
    def spawn(
        cls,
        argv: list[str],
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        dimensions: tuple[int, int] = (24, 80),
    ) -> "PtyProcess":
        """Start a program; `dimensions` are rows and columns."""
        import ptyprocess  # needs POSIX

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads, in a test
            return cls(ptyprocess.PtyProcess.spawn(argv, cwd=cwd, env=env, dimensions=dimensions))

    def read(self, size: int = 1024) -> str:
        """Wait for output; never ends inside a character."""
        fd = self._terminal.fd
        while not select.select([fd], [], [], 0.02)[0]:
            if self._closed.is_set():
                raise OSError("the terminal was closed")
        try:
            data = os.read(fd, size)
            while data:
                try:
                    return data.decode()
                except UnicodeDecodeError:
                    data += os.read(fd, 1)
        except OSError:
            pass
        raise EOFError("the terminal is closed")

    def write(self, text: str) -> int:
        """Type."""
        if not self.isalive():
            raise EOFError("the terminal is closed")
        return os.write(self._terminal.fd, text.encode())

    def isalive(self) -> bool:
        """Whether the program runs."""
        with self._lock:
            if not self._is_over:
                self._is_over = not self._terminal.isalive()
            return not self._is_over

    @property
    def exitstatus(self) -> int | None:
        """The exit code, None while the program runs."""
        if self.isalive():
            return None
        code: int | None = self._terminal.exitstatus
        return _TERMINATED if code is None else code

    def setwinsize(self, rows: int, cols: int) -> None:
        """Change the size."""
        self._terminal.setwinsize(rows, cols)

    def close(self, force: bool = False) -> None:
        """Close the terminal: who reads it is told."""
        if not self._closed.is_set():
            self._closed.set()
            time.sleep(0.05)
            with self._lock:
                self._terminal.close(force=force)
