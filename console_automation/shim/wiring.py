"""What lies between a command and its shim: pipes, or a terminal."""

import errno
import fcntl
import os
import select
import signal
import struct
import sys
import termios
from collections.abc import Mapping
from types import MappingProxyType

from console_automation.shim.capture import STDERR, STDOUT
from console_automation.shim.spawn import Descriptors
from console_automation.shim.stdin import Stdin

_ATTRIBUTES = b"\x1b[?62;22c"  # a VT220 with colours
_QUESTIONS = (
    (b"\x1b[c", _ATTRIBUTES),
    (b"\x1b[0c", _ATTRIBUTES),
    (b"\x1b[5n", b"\x1b[0n"),  # is all well? it is
)
# Keys that interrupt: what each is called among a terminal's settings, and the signal it stands for.
_INTERRUPTS = {
    b"\x03": (termios.VINTR, signal.SIGINT),
    b"\x1c": (termios.VQUIT, signal.SIGQUIT),
    b"\x1a": (termios.VSUSP, signal.SIGTSTP),
}
_SPACE = 0x20  # what is below moves, edits or ends
_LOCAL_MODES, _KEYS = 3, 6  # where termios.tcgetattr has them
_TIOCSIG = 0x40045436  # Linux: signal those in the foreground; the module has no name for it


class Wiring:
    """The shim's ends and the command's. `reads` maps what is to be read to its stream."""

    def __init__(
        self,
        theirs: Descriptors = (-1, -1, -1),
        reads: Mapping[int, int] = MappingProxyType({}),
        writes: int = -1,
    ) -> None:
        self.theirs = theirs  #: what the command gets as its descriptors 0, 1 and 2
        self.reads = reads
        self.writes = writes  #: the way to the command's stdin, -1 for none
        self.terminal = -1  #: the master side
        self._last_typed = 0
        for fd in reads:
            os.set_blocking(fd, False)

    def command_has_its_own(self) -> None:
        """Close the command's ends, once it has been spawned (or was not to be)."""
        if self.terminal < 0:
            for fd in set(self.theirs) - {-1}:
                os.close(fd)

    def close(self) -> None:
        """Let go of the terminal.

        Its other side is held until then: a command that closes all its descriptors and opens
        /dev/tty later finds the terminal still there.
        """
        if self.terminal >= 0:
            os.close(self.theirs[0])
            self.terminal = -1

    def answer(self, data: bytes) -> bytes:
        """Return what a terminal says to the questions in what was printed to it.

        Only those that have one answer: programs ask for the device's attributes to learn that a
        terminal is there, and fish waits for them. Where the cursor is, nobody here knows.
        """
        if self.terminal < 0 or b"\x1b[" not in data:
            return b""
        return b"".join(reply for question, reply in _QUESTIONS if question in data)

    def accept(self, stdin: Stdin, data: bytes, *, eof: bool) -> int:
        """Have the input taken, as `Stdin.accept` does; an interrupt key passes by all that waits.

        A terminal looks for these keys only in what there is room for: behind lines that nobody reads
        one would wait with them. It cannot be closed as a pipe can: that nothing more comes is typed,
        too, and more may be typed after it.
        """
        if self.terminal < 0:
            return stdin.accept(data, eof=eof)
        if data in _INTERRUPTS and (stdin.is_waiting or self._has_unread()):
            stdin.drop()
            self._last_typed = 0
            if self._interrupt(*_INTERRUPTS[data], data):
                return len(data)
        taken = stdin.accept(data, eof=False)
        if taken > 0:
            self._last_typed = data[taken - 1]
        if eof and taken == len(data):
            stdin.feed(self._end_of_input())
        return taken

    def _end_of_input(self) -> bytes:
        """Return the key that means the end, twice behind the beginning of a line: there the first
        one only hands that beginning over."""
        is_in_line, self._last_typed = self._last_typed >= _SPACE, 0
        try:
            settings = termios.tcgetattr(self.terminal)
        except termios.error:
            return b""
        key: bytes = settings[_KEYS][termios.VEOF].strip(b"\0")  # it may have been switched off
        return key * 2 if is_in_line and settings[_LOCAL_MODES] & termios.ICANON else key

    def _has_unread(self) -> bool:
        """Asked in this way, and in no other, the kernel first passes on what is on its way."""
        return bool(select.select([self.theirs[0]], [], [], 0)[0])

    def _interrupt(self, key: int, number: int, data: bytes) -> bool:
        """Do what the terminal does at the key; False when it is an ordinary one, or cannot be done."""
        try:
            settings = termios.tcgetattr(self.terminal)
            modes = settings[_LOCAL_MODES]
            if not modes & termios.ISIG or settings[_KEYS][key] != data:
                return False
            if not modes & termios.NOFLSH:
                termios.tcflush(self.theirs[0], termios.TCIFLUSH)
            if not sys.platform.startswith("linux"):
                return False
            fcntl.ioctl(self.terminal, _TIOCSIG, number)
        except (OSError, termios.error):
            return False
        return True

    def resize(self, cols: int, rows: int) -> bool:
        """Change the terminal's size; the kernel tells the foreground program."""
        if self.terminal < 0:
            return False
        try:
            set_size(self.terminal, cols, rows)
        except OSError:
            return False
        return True


def pipes(*, merge: bool, has_stdin: bool) -> Wiring:
    """Connect a command by pipes; without a stdin it reads nothing."""
    outputs = [os.pipe()] if merge else [os.pipe(), os.pipe()]
    reader, writer = os.pipe() if has_stdin else (os.open(os.devnull, os.O_RDONLY), -1)
    ours = {fd: stream for (fd, _), stream in zip(outputs, (STDOUT, STDERR), strict=False)}
    return Wiring((reader, outputs[0][1], outputs[-1][1]), ours, writer)


def terminal(cols: int, rows: int) -> Wiring:
    """Connect a command by a terminal, which has its size before the command sees it."""
    master, slave = os.openpty()
    try:
        set_size(master, cols, rows)
        writes = os.dup(master)
    except OSError:
        os.close(master)
        os.close(slave)
        raise
    wiring = Wiring((slave, slave, slave), {master: STDOUT}, writes)
    wiring.terminal = master
    return wiring


def set_size(fd: int, cols: int, rows: int) -> None:
    """Set a terminal's size in characters. Raises OSError when it can have no such size."""
    try:
        size = struct.pack("HHHH", rows, cols, 0, 0)
    except struct.error:
        raise OSError(
            errno.EINVAL, os.strerror(errno.EINVAL), f"a terminal of {cols}x{rows}"
        ) from None
    fcntl.ioctl(fd, termios.TIOCSWINSZ, size)
