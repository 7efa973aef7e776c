"""What goes where: results to stdout, remarks to stderr, and colours to nobody but a person."""

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "dim": 2, "bold": 1}
#: Colours of statuses, of jobs and of sessions.
STATUS_COLOURS = {
    "pending": "yellow",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "dim",
    "interrupted": "red",
    "open": "cyan",
    "closed": "dim",
}


def columns() -> int:
    """Return the terminal's width; what `shutil` does, without what that imports."""
    try:
        width = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(2).columns
    except (OSError, ValueError):
        width = 0
    return width or 100


def _cut(text: str, width: int) -> str:
    """Return as much of the beginning of a text as fits into so many columns of a terminal."""
    if text.isascii():
        return text[:width]
    from unicodedata import east_asian_width

    for at, character in enumerate(text):
        width -= 2 if east_asian_width(character) in "WF" else 1
        if width < 0:
            return text[:at]
    return text


def open_streams() -> None:
    """See to it that stdin, stdout and stderr are open and take any text.

    Where one was closed by the caller, the line to the daemon would get its number, and be printed to.
    """
    for fd, mode in ((0, "r"), (1, "w"), (2, "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
            name = ("stdin", "stdout", "stderr")[fd]
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def fitting(cols: int, rows: int) -> tuple[int, int]:
    """Return the size nearest to this that a terminal of a job or a session can have."""
    return max(2, min(cols, 500)), max(2, min(rows, 300))


class Streams:
    """Where a command prints. `json` asks for results as JSON, one object per line."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.is_terminal = sys.stdout.isatty()
        self.is_watched = sys.stderr.isatty()
        self._shown = False  #: whether a progress line is on the terminal

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return columns()

    def result(self, view: "Mapping[str, Any]") -> None:
        """Print a result as JSON."""
        self.line(json.dumps(view, indent=2 if self.is_terminal else None))

    def line(self, text: str) -> None:
        """Print a line of the result."""
        self.text(text + "\n")

    def text(self, text: str) -> None:
        """Print a piece of the result."""
        self.progress("")
        sys.stdout.write(text)

    def raw(self, data: bytes) -> None:
        """Print bytes as they are."""
        self.progress("")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Have everything seen that was printed."""
        sys.stdout.flush()

    def remark(self, text: str) -> None:
        """Say something beside the result."""
        self.progress("")
        sys.stdout.flush()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def progress(self, text: str) -> None:
        """Show how it goes in one line that the next one replaces; nothing where nobody watches."""
        if self.is_watched and (text or self._shown):
            self._shown = True  # Ctrl-C may come as soon as it is
            # There is room left for the ^C that a terminal shows: on a second line it would stay.
            sys.stderr.write(f"\r\x1b[K{_cut(text, self.width - 3)}")
            sys.stderr.flush()
            self._shown = bool(text)

    def coloured(self, text: str, colour: str) -> str:
        """Return the text in a colour, if stdout is a terminal that wants colours."""
        if not colour or not self.has_colours:
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    @property
    def has_colours(self) -> bool:
        """Whether colours are wanted: a terminal, no NO_COLOR, no dumb TERM."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return self.is_terminal and not plain
