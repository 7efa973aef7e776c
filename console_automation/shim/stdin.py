"""The write end of a command's stdin: takes what is given and writes what the pipe takes."""

import os
import select

LIMIT = 1 << 20  # bytes accepted ahead of the command's reading


class Stdin:
    """A pipe to the command, or nothing (`fd` -1). `poll` is told while there is more to write."""

    def __init__(self, fd: int, poll: select.poll, *, ends: bool) -> None:
        self.fd = fd
        self._poll = poll
        self._ends = ends  #: close when everything is written
        self._pending = bytearray()

    def accept(self, data: bytes, *, eof: bool) -> int:
        """Take input and return how many bytes were taken, -1 when stdin is closed."""
        if self.fd < 0 or self._ends:
            return -1
        taken = data[: max(0, LIMIT - len(self._pending))]
        self._pending += taken
        self._ends = eof and len(taken) == len(data)
        self.write()
        return len(taken)

    @property
    def is_waiting(self) -> bool:
        """Whether something accepted has not been written yet."""
        return bool(self._pending)

    def drop(self) -> None:
        """Forget what has not been written yet."""
        if self.fd >= 0:
            self._pending.clear()
            self._unwatch()

    def answer(self, data: bytes) -> None:
        """Take the terminal's own answer, or none of it when nobody reads those before it."""
        if len(self._pending) + len(data) <= LIMIT:
            self.feed(data)

    def feed(self, data: bytes) -> None:
        """Take input that nobody is told about, whatever its size."""
        if self.fd >= 0:
            self._pending += data
            self.write()

    def write(self) -> None:
        """Write what the pipe takes now; the poll says when to go on."""
        os.set_blocking(self.fd, False)
        try:
            while self._pending:
                written = os.write(self.fd, self._pending[:65536])
                del self._pending[:written]
        except BlockingIOError:
            self._poll.register(self.fd, select.POLLOUT)
            return
        except OSError:
            self._pending.clear()  # nobody reads any more
            self._ends = True
        self._unwatch()
        if self._ends:
            self.close()

    def close(self) -> None:
        """Close the pipe. Idempotent."""
        if self.fd >= 0:
            self._unwatch()
            os.close(self.fd)
            self.fd = -1

    def _unwatch(self) -> None:
        try:
            self._poll.unregister(self.fd)
        except KeyError:
            pass
