"""A program on a real terminal, driven as a person would, with its screen drawn as it comes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pexpect

from console_automation.adapters.screen import TerminalScreen
from console_automation.core.keys import encode_key
from console_automation.core.modes import TerminalModes
from console_automation.core.screen import ScreenSnapshot
from tests.integration.live_shell import hear_signals
from tests.waiting import until_now

COLS, ROWS = 80, 12


class Console:
    """A program on a terminal, whose output is drawn as it comes."""

    def __init__(
        self,
        program: str,
        *args: str,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        size: tuple[int, int] = (COLS, ROWS),
    ) -> None:
        cols, rows = size
        names = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PS1": "$ "}
        self.child = pexpect.spawn(
            program,
            list(args),
            dimensions=(rows, cols),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                **names,
                **(environment or {}),
            },
            cwd=str(directory),
            preexec_fn=hear_signals,
        )
        self.child.delaybeforesend = None
        self.screen = TerminalScreen(cols, rows)
        self.modes = TerminalModes()
        self.printed = b""

    def seen(self) -> ScreenSnapshot:
        """Draw what there is, and return the screen."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0)
        except (pexpect.TIMEOUT, pexpect.EOF):
            data = b""
        self.printed += data
        self.screen.feed(data)
        self.modes.feed(data)
        return self.screen.snapshot()

    def until(self, *texts: str, row: int | None = None) -> ScreenSnapshot:
        """Return the screen when it shows all the texts, in this row if one is given."""

        def complete() -> ScreenSnapshot | None:
            seen = self.seen()
            where = "\n".join(seen.lines) if row is None else seen.lines[row]
            return seen if all(text in where for text in texts) else None

        found = until_now(complete, f"{texts} on the screen")
        assert found is not None
        return found

    def until_cursor(self, column: int, row: int) -> ScreenSnapshot:
        """Return the screen when the cursor is there."""

        def there() -> ScreenSnapshot | None:
            seen = self.seen()
            return seen if (seen.cursor_column, seen.cursor_row) == (column, row) else None

        found = until_now(there, f"the cursor at {column}, {row}")
        assert found is not None
        return found

    def until_left(self) -> ScreenSnapshot:
        """Return the screen when the program has left the alternate one."""

        def left() -> ScreenSnapshot | None:
            seen = self.seen()
            return None if seen.alternate else seen

        found = until_now(left, "the main screen")
        assert found is not None
        return found

    def type(self, text: str) -> None:
        """Type text."""
        self.child.send(text.encode())

    def press(self, *keys: str) -> None:
        """Press keys, which send what the program has asked for."""
        for key in keys:
            self.type(encode_key(key, application_cursor=self.modes.application_cursor))


@contextmanager
def running(
    program: str, *args: str, directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Console]:
    """Run a program on a terminal, and end it when the context is left."""
    console = Console(program, *args, directory=directory, environment=environment)
    try:
        yield console
    finally:
        console.child.close(force=True)
