"""Screens of sessions: drawn when somebody looks, from the output, never while it is captured.

A terminal emulator reads less than a megabyte a second, a program may print a hundred. So a screen
that is far behind is drawn anew from the end of the output; what was printed before that is only
searched for the modes that still hold.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from console_automation.core.job import OutputCounts, TerminalSize
from console_automation.core.modes import TerminalModes
from console_automation.core.output import Chunk
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.session import Session
from console_automation.ports import Emulator, OutputLog

_DRAWN_BYTES = 128 << 10  # drawn anew from: a few hundred screens full
_PAGE_BYTES = 1 << 20
_PAGE_CHUNKS = 1 << 14
_KEPT = 16  #: screens kept for whoever looks again


class _Drawn:
    """A screen and how far in the output it is."""

    def __init__(self, emulator: Emulator, size: TerminalSize) -> None:
        self.emulator = emulator
        self.size = size
        self.cursor = 0
        self.printed = 0  #: bytes of output in all when it was drawn

    def take(self, chunk: Chunk, size: TerminalSize) -> None:
        self.fit(size)
        self.emulator.feed(chunk.data)
        self.cursor = chunk.sequence

    def fit(self, size: TerminalSize) -> None:
        if size != self.size:
            self.emulator.resize(size.cols, size.rows)
            self.size = size


class Screens:
    """Draws the screens of sessions; `emulator` makes one of a size in columns and rows."""

    def __init__(self, log: OutputLog, emulator: Callable[[int, int], Emulator]) -> None:
        self._log = log
        self._emulator = emulator
        self._drawn: OrderedDict[str, _Drawn] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def look(self, session: Session, counts: OutputCounts) -> tuple[ScreenSnapshot, int]:
        """Return the screen as it is now, and the last chunk that is on it."""
        lock = self._locks.setdefault(session.id, asyncio.Lock())
        try:
            async with lock:
                drawn = await asyncio.to_thread(self._draw, session, counts)
                self._drawn[session.id] = drawn
                self._drawn.move_to_end(session.id)
                if len(self._drawn) > _KEPT:
                    self._drawn.popitem(last=False)
                return drawn.emulator.snapshot(), drawn.cursor
        finally:
            if not lock.locked():
                self._locks.pop(session.id, None)

    def forget(self, session_id: str) -> None:
        """Let go of a session's screen."""
        self._drawn.pop(session_id, None)

    def _draw(self, session: Session, counts: OutputCounts) -> _Drawn:
        drawn = self._drawn.get(session.id)
        if drawn is None or counts.bytes - drawn.printed > _DRAWN_BYTES:
            drawn = self._anew(session)
        else:
            for chunk in self._chunks(session, drawn.cursor):
                drawn.take(chunk, size_at(session, chunk.at))
        drawn.fit(session.size)
        drawn.printed = counts.bytes
        return drawn

    def _anew(self, session: Session) -> _Drawn:
        modes = TerminalModes()
        tail: deque[Chunk] = deque()
        held = 0
        size = session.sizes[0].size
        for chunk in self._chunks(session, 0):
            tail.append(chunk)
            held += len(chunk.data)
            while held > _DRAWN_BYTES and len(tail) > 1:
                old = tail.popleft()
                held -= len(old.data)
                if size_at(session, old.at) != size:
                    size = size_at(session, old.at)
                    modes.resized()
                modes.feed(old.data)
        size = size_at(session, tail[0].at) if tail else session.size
        drawn = _Drawn(self._emulator(size.cols, size.rows), size)
        drawn.emulator.feed(modes.preamble())
        for chunk in tail:
            drawn.take(chunk, size_at(session, chunk.at))
        return drawn

    def _chunks(self, session: Session, since: int) -> Iterator[Chunk]:
        has_more = True
        while has_more:
            page = self._log.read(
                session.run_id,
                since=since,
                max_bytes=_PAGE_BYTES,
                max_chunks=_PAGE_CHUNKS,
                stream=None,
            )
            yield from page.chunks
            since, has_more = page.next_since, page.has_more


def size_at(session: Session, at: float) -> TerminalSize:
    """Return the size that the terminal had at a time."""
    sizes = session.sizes
    return next((each.size for each in reversed(sizes) if each.at <= at), sizes[0].size)
