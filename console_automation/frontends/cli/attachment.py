"""Lends our terminal to a session, or to a job on a terminal, until it is over or the key to detach is hit.

Two threads talk to the daemon: one shows what is printed, one types. So the keyboard is never waited for,
nor does it wait for anything. Both find the next daemon when this one ends.
"""

import os
import select
import signal
import threading
from binascii import a2b_base64

from console_automation.frontends.cli import following
from console_automation.frontends.cli.own_terminal import OwnTerminal
from console_automation.frontends.cli.typist import Typist
from console_automation.frontends.client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PAGE_BYTES = 1 << 16
_WAIT_MS = 45_000
_FAR_BEHIND = (
    16  #: pages in a row that were not the last; then the rest is not shown, but where it ends
)
_OVER, _RESIZED = b"o", b"r"


class Attachment:
    """A terminal that is attached to what has this id."""

    def __init__(self, home: str, subject_id: str, detach_key: bytes) -> None:
        self._home = home
        self._id = subject_id
        self._key = detach_key
        self._events, self._tell = os.pipe()
        self._error: Exception | None = None

    def run(self) -> bool:
        """Return when it is over, or the key to detach was hit; whether it is over.

        Raises what ended it otherwise.
        """
        handlers = {
            number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)
        }
        handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resized)
        try:
            with OwnTerminal() as terminal:
                is_over = self._lend(terminal)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._error is not None:
            raise self._error
        return is_over

    def _lend(self, terminal: OwnTerminal) -> bool:
        typist = Typist(self._home, self._id)
        typist.resize(*terminal.size)
        threading.Thread(target=self._show, args=[terminal], daemon=True).start()
        while True:
            ready = select.select([0, self._events], [], [])[0]
            told = os.read(self._events, 1) if self._events in ready else b""
            if told == _OVER:
                return True
            if told == _RESIZED:
                typist.resize(*terminal.size)
            if 0 in ready:
                typed = terminal.typed()
                keys, key, _ = typed.partition(self._key)
                if keys:
                    typist.type(keys)
                if key or not typed:
                    return False

    def _resized(self, number: int, frame: object) -> None:
        os.write(self._tell, _RESIZED)

    def _show(self, terminal: OwnTerminal) -> None:
        try:
            with Client(self._home) as client:
                self._follow(client, terminal)
        except Exception as error:  # whatever it is, the terminal is given back before it is told
            self._error = error
        os.write(self._tell, _OVER)

    def _follow(self, client: Client, terminal: OwnTerminal) -> None:
        since = self._begin(client, terminal)
        behind = 0
        while True:
            options = {"since": since, "raw": True, "maxBytes": _PAGE_BYTES, "waitMs": _WAIT_MS}
            page = following.page(client, self._id, options)
            terminal.show(b"".join([a2b_base64(chunk["content"]) for chunk in page["output"]]))
            since = page["nextSince"]
            behind = behind + 1 if page["hasMore"] else 0
            if behind > _FAR_BEHIND:
                since, behind = self._begin(client, terminal), 0
            elif not page["hasMore"] and following.is_over(page):
                return

    def _begin(self, client: Client, terminal: OwnTerminal) -> int:
        """Show the screen as it is, and return the last chunk of output that is on it."""
        view: dict[str, Any] = client.call("attach", {"id": self._id})
        terminal.begin(a2b_base64(view["screen"]))
        since: int = view["nextSince"]
        return since


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
