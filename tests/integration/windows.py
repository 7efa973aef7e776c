"""`job` in a window: a command on a terminal of its own, which is to be left as it was."""

import os
import termios
from typing import Any

from console_automation.core.modes import TerminalModes
from tests.integration.command_line import JOB
from tests.integration.job_command import Shell
from tests.integration.terminals import Console
from tests.waiting import until_now

_TERMINAL = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


class Window(Console):
    """A command of `job` in a window of this size. As a context it ends when that is left."""

    def __init__(self, shell: Shell, *words: str, cols: int = 80, rows: int = 24) -> None:
        super().__init__(
            *JOB,
            *words,
            directory=shell.directory,
            environment={**shell.environment, **_TERMINAL},
            size=(cols, rows),
        )

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)

    def text(self) -> str:
        """Return what is on the screen."""
        return "\n".join(self.seen().lines)

    def until_gone(self, text: str) -> None:
        """Return as soon as the screen does not show this."""
        until_now(lambda: text not in self.text(), f"the end of {text} on the screen")

    def resize(self, cols: int, rows: int) -> None:
        """Give the window another size."""
        self.screen.resize(cols, rows)
        self.child.setwinsize(rows, cols)

    def ended(self) -> int:
        """Return the exit code once it has ended and has given the terminal back as it was."""
        until_now(lambda: self.seen() and self.child.flag_eof, "the end of the command")
        settings = termios.tcgetattr(self.child.child_fd)
        self.child.wait()
        assert settings == _settings_of_a_new_terminal()
        assert self.modes.undo() == TerminalModes().undo(), self.printed[-400:]
        code: int = self.child.exitstatus
        return code


def _settings_of_a_new_terminal() -> list[Any]:
    fds = os.openpty()
    try:
        return termios.tcgetattr(fds[1])
    finally:
        for fd in fds:
            os.close(fd)
