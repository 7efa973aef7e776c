"""`job` in a window: a real terminal, whose keys are typed and whose screen is read as a person would."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
from typing import Self

from console_automation.adapters.screen import TerminalScreen
from console_automation.core.modes import TerminalModes
from console_automation.core.screen import ScreenSnapshot
from tests.integration.command_line import JOB
from tests.integration.job_command import Shell
from tests.waiting import until_now

_SIZE = ("COLUMNS", "LINES")
#: Become the leader of the terminal, then the command.
_BEGIN = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
_AS_IT_WAS = TerminalModes().undo()


class Window:
    """A command of `job` on a terminal of its own, whose modes are to be the same before and after."""

    def __init__(self, shell: Shell, *words: str, cols: int = 80, rows: int = 24) -> None:
        self._fd, self._theirs = os.openpty()
        os.set_blocking(self._fd, False)
        self.screen = TerminalScreen(cols, rows)
        self.modes = TerminalModes()
        self.printed = b""
        self.resize(cols, rows)
        self._before = termios.tcgetattr(self._theirs)
        environment = {**shell.environment, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _BEGIN, str(self._theirs), *JOB, *words],
            cwd=shell.directory,
            env={name: value for name, value in environment.items() if name not in _SIZE},
            pass_fds=[self._theirs],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)
        os.close(self._theirs)

    def seen(self) -> ScreenSnapshot:
        """Draw what has been printed, and return the screen."""
        while select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, 1 << 16)
            self.printed += data
            self.screen.feed(data)
            self.modes.feed(data)
        return self.screen.snapshot()

    def text(self) -> str:
        """Return what is on the screen."""
        return "\n".join(self.seen().lines)

    def until(self, *texts: str) -> ScreenSnapshot:
        """Return the screen as soon as it shows all of this."""
        try:
            until_now(lambda: all(text in self.text() for text in texts), f"{texts} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.text()}") from None
        return self.seen()

    def until_gone(self, text: str) -> None:
        """Return as soon as the screen does not show this."""
        until_now(lambda: text not in self.text(), f"the end of {text} on the screen")

    def type(self, keys: str | bytes) -> None:
        """Hit keys."""
        os.write(self._fd, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, cols: int, rows: int) -> None:
        """Give the window another size."""
        self.screen.resize(cols, rows)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def ended(self) -> int:
        """Return the exit code once it has ended and has given the terminal back as it was."""

        def over() -> bool:
            self.seen()
            return self.process.poll() is not None

        until_now(over, "the end of the command")
        self.seen()
        assert termios.tcgetattr(self._theirs) == self._before
        assert self.modes.undo() == _AS_IT_WAS, self.printed[-400:]
        return self.process.returncode

    def kill(self, number: int = signal.SIGTERM) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)
