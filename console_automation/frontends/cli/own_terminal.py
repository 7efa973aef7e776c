"""Our own terminal while it is lent to a program elsewhere, and how it is given back as it was."""

import os
import select
import termios
import threading
import tty

from console_automation.core.modes import TerminalModes
from console_automation.core.replay import passing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_IN, _OUT = 0, 1
_PIECE = 1 << 16  #: bytes written before anybody else gets a turn
_HOME = b"\x1b[H"
_ERASE_BELOW = b"\x1b[J"
_KEEP_TITLE, _RESTORE_TITLE = b"\x1b[22;2t", b"\x1b[23;2t"


class OwnTerminal:
    """The terminal on stdin and stdout. As a context it is raw: keys and output pass as they are.

    What is shown may come from another thread; nothing is shown any more once it is given back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modes = TerminalModes()
        self._begun = b""  #: a sequence whose end has not come yet
        self._begins_line = True
        self._is_lent = False
        self._settings: list[Any] = []

    def __enter__(self) -> "Self":
        self._settings = termios.tcgetattr(_IN)
        self._is_lent = True
        tty.setraw(_IN, termios.TCSADRAIN)  # what was typed ahead is not lost
        self._put(_KEEP_TITLE)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_lent = False
            ends_line = self._begins_line or self._modes.alternate_screen
            undo = self._modes.undo() + _RESTORE_TITLE
            try:
                self._put(undo + b"\r\n" * (not ends_line) + _ERASE_BELOW)
            except OSError:
                pass  # it was hung up
        try:
            termios.tcsetattr(_IN, termios.TCSADRAIN, self._settings)
        except termios.error:
            pass

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return os.get_terminal_size(_OUT)

    def typed(self) -> bytes:
        """Return the keys that were pressed; nothing when it was hung up."""
        try:
            return os.read(_IN, _PIECE)
        except OSError:
            return b""

    def begin(self, screen: bytes) -> None:
        """Show a screen anew; what was there goes into the scrollback."""
        with self._lock:
            if self._is_lent:
                fresh = self._modes.undo() + b"\r\n" * self.size[1] + _HOME
                self._put(fresh)
                self._modes = TerminalModes()
        self._begun = b""
        self.show(screen)

    def show(self, output: bytes) -> None:
        """Print a piece of output. Raises OSError when the terminal was hung up."""
        output, self._begun = passing(self._begun + output)
        for at in range(0, len(output), _PIECE):
            piece = output[at : at + _PIECE]
            with self._lock:
                if not self._is_lent:
                    return
                self._modes.feed(piece)
                self._begins_line = piece.endswith(b"\n")
                self._put(piece)

    def _put(self, output: bytes) -> None:
        rest = memoryview(output)
        while rest:
            try:
                rest = rest[os.write(_OUT, rest) :]
            except BlockingIOError:  # whoever has it too may have made it so
                select.select([], [_OUT], [])
