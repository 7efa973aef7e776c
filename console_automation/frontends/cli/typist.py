"""Types into a session or a job what is typed here: every byte as it is, in a thread of its own."""

import threading
import time
from binascii import b2a_base64

from console_automation.frontends.cli.streams import fitting
from console_automation.frontends.client import Client, Refused
from console_automation.frontends.launch import DaemonUnavailable

_PIECE = 1 << 16  #: bytes typed with one call
_AGAIN_SECONDS = 0.05  #: when the program reads nothing, or does not run yet
#: Keys that pass by what waits to be read, and end it: ctrl+c, ctrl+\, ctrl+z.
_INTERRUPTS = (b"\x03", b"\x1c", b"\x1a")


class Typist:
    """Takes keys and sizes, never waits, and passes them on in their order."""

    def __init__(self, home: str, subject_id: str) -> None:
        self._client = Client(home)
        self._id = subject_id
        self._news = threading.Condition()
        self._keys = bytearray()
        self._is_stuck = False  #: the program does not read what was typed before
        self._size: tuple[int, int] | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def type(self, keys: bytes) -> None:
        """Have keys typed."""
        with self._news:
            if self._is_stuck and keys in _INTERRUPTS:
                self._keys = bytearray()
            self._keys += keys
            self._news.notify()

    def resize(self, cols: int, rows: int) -> None:
        """Have the terminal be of a size."""
        with self._news:
            self._size = fitting(cols, rows)
            self._news.notify()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._keys or self._size)
                size, self._size = self._size, None
                queue = self._keys
            if size:
                self._resize(*size)
            if queue:
                keys = bytes(queue[:_PIECE])
                accepted = self._type(keys)
                with self._news:
                    del queue[:accepted]
                    self._is_stuck = accepted < len(keys)
                if self._is_stuck:
                    time.sleep(_AGAIN_SECONDS)

    def _resize(self, cols: int, rows: int) -> None:
        try:
            self._client.call("resize", {"id": self._id, "cols": cols, "rows": rows})
        except (Refused, DaemonUnavailable):
            pass  # it is over, or does not run yet

    def _type(self, keys: bytes) -> int:
        """Return how many of the keys need not be typed again."""
        data = b2a_base64(keys, newline=False).decode("ascii")
        asked = {"id": self._id, "data": data}
        try:
            accepted: int = self._client.call("type", asked, once=True)["accepted"]
            return accepted
        except Refused as refusal:
            return 0 if refusal.code == "UNAVAILABLE" else len(keys)
        except DaemonUnavailable:
            return len(keys)  # they may have arrived; nothing is ever typed twice
