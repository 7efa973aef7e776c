"""The live view of `job top`: a window on the alternate screen, and a terminal given back as it was."""

import os
import select
import signal
import termios
import time
import tty

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from console_automation.frontends.cli import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from console_automation.frontends.cli.commands.top import Board
    from console_automation.frontends.cli.streams import Streams

_IN, _OUT = 0, 1
_EVERY_SECONDS = 1.0
_FRAME_LINES = 4  #: the figures, an empty line, the table's head, the keys
_KEYS = "q quit   a {}"
_QUIT = (b"\x03", b"q", b"Q", b"")


def show(board: "Board", streams: "Streams") -> None:
    """Show the board, renewed each second, until somebody quits."""
    console = Console(no_color=not streams.has_colours, highlight=False, force_terminal=True)
    live = Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with _Keyboard() as keyboard:
        try:
            with live:
                while True:
                    began = time.monotonic()
                    console.size = os.get_terminal_size(_OUT)
                    live.update(_window(board, console), refresh=True)
                    key = keyboard.key(began + _EVERY_SECONDS - time.monotonic())
                    if key in _QUIT:
                        return
                    if key in (b"a", b"A"):
                        board.turn()
        except KeyboardInterrupt:
            return


def _window(board: "Board", console: Console) -> Group:
    width, height = console.size
    found = board.jobs(max(1, height - _FRAME_LINES))
    table = tables.drawn(*tables.of_jobs(found, projects=board.every, short=True), width)
    below = "\n" * (height - _FRAME_LINES - len(found))
    keys = _KEYS.format("this project" if board.every else "all projects")
    return Group(_line(board.figures() + "\n"), table, _line(below + keys, style="dim"))


def _line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


class _Keyboard:
    """Keys one by one and unseen. A change of the window's size counts as one that means nothing."""

    def __enter__(self) -> "Self":
        self._settings = termios.tcgetattr(_IN)
        self._resized, resized = os.pipe()
        os.set_blocking(resized, False)
        self._pipe = (self._resized, resized)
        signal.set_wakeup_fd(resized, warn_on_full_buffer=False)
        ends = {signal.SIGTERM: _end, signal.SIGHUP: _end, signal.SIGWINCH: _go_on}
        self._handlers = {number: signal.signal(number, do) for number, do in ends.items()}
        tty.setcbreak(_IN, termios.TCSADRAIN)
        settings = termios.tcgetattr(_IN)
        settings[6][termios.VSUSP] = b"\0"  # the shell would find the alternate screen
        settings[6][termios.VINTR] = b"\0"  # a key like any other: it cannot come at a bad moment
        termios.tcsetattr(_IN, termios.TCSADRAIN, settings)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            termios.tcsetattr(_IN, termios.TCSADRAIN, self._settings)
        except termios.error:
            pass  # it was hung up
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for fd in self._pipe:
            os.close(fd)

    def key(self, seconds: float) -> bytes | None:
        """Return the next key, b"" when the terminal is gone, None when there was none in time."""
        ready = select.select([_IN, self._resized], [], [], max(0.0, seconds))[0]
        if self._resized in ready:
            os.read(self._resized, 1 << 10)
        if _IN not in ready:
            return None
        try:
            return os.read(_IN, 1)
        except OSError:
            return b""


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _go_on(number: int, frame: "Any") -> None:
    """Nothing: that it came is told by the pipe."""
