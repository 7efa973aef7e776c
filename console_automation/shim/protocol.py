"""The words that a shim and its daemon exchange: length-prefixed JSON over a Unix stream socket.

The shim dials, says `hello`, and dials again whenever the daemon goes away while a run is live.

    shim -> daemon                             daemon -> shim
    {"hello": 1, "pid": n, "run": id | null}   {"run": id, "directory": ..., "argv": ..., ...}
    {"refused": id, "error": text | null}            {"stop": id, "cause": ..., "signal": n, "grace": s}
    {"started": id, "pid": n, "at": t}         {"input": id, "data": text, "eof": bool, "ticket": n}
    {"output": id}                             {"watch": id}
    {"accepted": n, "ticket": n}               {"recorded": id, "discard": bool}
                                               {"resize": id, "cols": n, "rows": n, "ticket": n}
    {"exited": id, "exit": {...}, "reusable": bool}

`output` answers one `watch`: it comes once, with the first output after the watch was set. `exited`
is followed by `recorded` once the daemon has committed the exit; a shim that does not hear it forces
the exit record to the disk itself. A shim that called itself reusable, or refused or dropped a run,
is idle again: the next order may follow at once.
"""

import json
import select
import socket
import struct
import time
from typing import Any

VERSION = 1
_LENGTH = struct.Struct("<I")
REDIAL_SECONDS = 0.2
_encode = json.JSONEncoder(separators=(",", ":")).encode

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Return the message as one frame."""
    body = _encode(message).encode("ascii")
    return _LENGTH.pack(len(body)) + body


def decode(buffer: bytearray) -> list[Message]:
    """Take every whole frame out of the buffer and return its message."""
    messages: list[Message] = []
    start = 0
    while len(buffer) - start >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, start)
        end = start + _LENGTH.size + length
        if len(buffer) < end:
            break
        messages.append(json.loads(buffer[start + _LENGTH.size : end]))
        start = end
    del buffer[:start]
    return messages


class Link:
    """The shim's end of the line to the daemon. Never blocks: a stuck daemon must not stop a job."""

    def __init__(self, path: str, pid: int) -> None:
        self.path = path
        self.pid = pid
        self.socket: socket.socket | None = None
        self.redial_at = 0.0
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._kept: list[Message] = []  #: the next order, and what was said after it

    def dial(self, run_id: str | None) -> bool:
        """Connect and say hello; False when nobody listens."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.setblocking(run_id is None)  # connect waits while the daemon's backlog is full
        try:
            line.connect(self.path)
        except OSError:
            line.close()
            self.redial_at = time.monotonic() + REDIAL_SECONDS
            return False
        self.attach(line)
        self.send({"hello": VERSION, "pid": self.pid, "run": run_id})
        return True

    def attach(self, line: socket.socket) -> None:
        """Talk over this line from now on."""
        line.setblocking(False)
        self.socket = line
        self._inbox.clear()
        self._outbox.clear()

    @property
    def has_unsent(self) -> bool:
        return bool(self._outbox)

    def send(self, message: Message) -> None:
        """Send what the socket takes now and keep the rest; without a line the message is dropped."""
        if self.socket is not None:
            self._outbox += encode(message)
            self.flush()

    def flush(self) -> None:
        """Send more of what is unsent."""
        if self.socket is None:
            return
        try:
            while self._outbox:
                sent = self.socket.send(self._outbox)
                del self._outbox[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.hang_up()

    def receive(self) -> list[Message]:
        """Return the messages that have arrived; hangs up at the end of the line."""
        if self.socket is None:
            return []
        try:
            data = self.socket.recv(262144)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            return []
        self._inbox += data
        return decode(self._inbox)

    def next_order(self) -> Message | None:
        """Wait for the next run to carry out; None when the line has ended."""
        while not self._kept:
            if self.socket is None:
                return None
            select.select([self.socket], [], [])
            for message in self.receive():
                self.keep(message)
        return self._kept.pop(0)

    def keep(self, message: Message) -> None:
        """Put an order aside, or what was said after one; anything else is old news."""
        if "run" in message or self._kept:
            self._kept.append(message)

    def take_kept(self) -> list[Message]:
        """Return what was said after the order that `next_order` returned: it is for that run."""
        kept, self._kept = self._kept, []
        return kept

    def hang_up(self) -> None:
        """Close the line; the next dial is due at once."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
            self.redial_at = 0.0
