"""Screens of sessions: drawn when somebody looks, from the output, never while it is captured.

A terminal emulator reads less than a megabyte a second, a program may print a hundred. So a screen
that is far behind is drawn anew from the end of the output; what was printed before that is only
searched for the modes that still hold. Both have a limit in time too, for output that is made to
cost the one who looks; and drawing has threads of its own, so that it holds up nothing else.
"""

import asyncio
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from console_automation.core.job import OutputCounts, TerminalSize
from console_automation.core.modes import TerminalModes
from console_automation.core.output import Chunk
from console_automation.core.replay import drawing
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.session import Session, Sizing
from console_automation.ports.machine import Emulator
from console_automation.ports.runs import OutputLog

_DRAWN_BYTES = 128 << 10  # drawn anew from: a few hundred screens full
_PAGE_BYTES = 1 << 20
_PAGE_CHUNKS = 1 << 14
_KEPT = 16  #: screens kept for whoever looks again
_DRAWING_AT_ONCE = 2  #: threads

#: Seconds that one look may search for modes, and then may draw. Ordinary output takes a part of it.
#: After that older chunks are skipped and only the newest, as many as have `_LATE_BYTES` but one at
#: least, are drawn: the screen may lack what was skipped, until the program draws it again.
_PATIENCE = 1.0
_LATE_BYTES = 8 << 10
_CANCEL = b"\x18"  # ends a sequence whose end was skipped
_INSIDE_CHARACTERS = bytes(range(0x80, 0xC0))  # what UTF-8 has behind a character's first byte


class Terminal(Protocol):
    """What has a terminal: a session, or a job that was given one."""

    @property
    def run_id(self) -> str: ...
    @property
    def sizes(self) -> tuple[Sizing, ...]: ...


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


class _Turn:
    """Whose turn it is to look at a session; gone when nobody looks or waits."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.holders = 0


class Screens:
    """Draws the screens of sessions; `emulator` makes one of a size in columns and rows."""

    def __init__(
        self,
        log: OutputLog,
        emulator: Callable[[int, int], Emulator],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._emulator = emulator
        self._now = now
        self._drawn: OrderedDict[str, _Drawn] = OrderedDict()
        self._turns: dict[str, _Turn] = {}
        self._threads = ThreadPoolExecutor(_DRAWING_AT_ONCE, thread_name_prefix="screens")

    async def look(self, session: Session, counts: OutputCounts) -> tuple[ScreenSnapshot, int]:
        """Return the screen as it was when this was called, and the last chunk that is on it."""
        turn = self._turns.setdefault(session.id, _Turn())
        turn.holders += 1
        try:
            async with turn.lock:
                return await self._look(session, counts)
        finally:
            turn.holders -= 1
            if not turn.holders:
                del self._turns[session.id]

    async def again(self, terminal: Terminal, counts: OutputCounts) -> tuple[bytes, int]:
        """Return what draws a terminal's screen on another one, colours and all, and the last chunk
        that is in it: the end of the output, behind what brings a fresh terminal into its modes."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._again, terminal, counts.last_sequence
        )

    def _again(self, terminal: Terminal, last: int) -> tuple[bytes, int]:
        modes, tail = self._search(terminal, last)
        end = b"".join(chunk.data for chunk in tail).lstrip(_INSIDE_CHARACTERS)
        return drawing(modes.preamble() + end), tail[-1].sequence if tail else 0

    def forget(self, session_id: str) -> None:
        """Let go of a session's screen."""
        self._drawn.pop(session_id, None)

    def close(self) -> None:
        """Draw no more; a drawing that goes on is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look(self, session: Session, counts: OutputCounts) -> tuple[ScreenSnapshot, int]:
        # The screen belongs to the thread that draws it: when its look is cancelled, the thread goes
        # on, and the next look must not get the same emulator.
        before = self._drawn.pop(session.id, None)
        drawn, snapshot = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._draw, session, counts, before
        )
        self._drawn[session.id] = drawn
        if len(self._drawn) > _KEPT:
            self._drawn.popitem(last=False)
        return snapshot, drawn.cursor

    def _draw(
        self, session: Session, counts: OutputCounts, drawn: _Drawn | None
    ) -> tuple[_Drawn, ScreenSnapshot]:
        if drawn is None or counts.bytes - drawn.printed > _DRAWN_BYTES:
            drawn = self._anew(session, counts.last_sequence)
        else:
            new = deque(self._chunks(session, drawn.cursor, counts.last_sequence))
            self._draw_chunks(drawn, session, new)
        drawn.fit(session.size)
        drawn.printed = counts.bytes
        return drawn, drawn.emulator.snapshot()

    def _anew(self, session: Session, last: int) -> _Drawn:
        modes, tail = self._search(session, last)
        size = size_at(session, tail[0].at) if tail else session.size
        drawn = _Drawn(self._emulator(size.cols, size.rows), size)
        drawn.emulator.feed(modes.preamble())
        self._draw_chunks(drawn, session, tail)
        return drawn

    def _search(self, terminal: Terminal, last: int) -> tuple[TerminalModes, deque[Chunk]]:
        """Return the end of the output, and the modes that what is before it has set."""
        limit = self._now() + _PATIENCE
        modes = TerminalModes()
        tail: deque[Chunk] = deque()
        held = 0
        size = terminal.sizes[0].size
        for chunk in self._chunks(terminal, 0, last):
            tail.append(chunk)
            held += len(chunk.data)
            while held > _DRAWN_BYTES and len(tail) > 1:
                old = tail.popleft()
                held -= len(old.data)
                if size_at(terminal, old.at) != size:
                    size = size_at(terminal, old.at)
                    modes.resized()
                modes.feed(old.data)
            if self._now() > limit:
                modes.feed(_CANCEL)
                modes.resized()
                end = self._log.read_end(terminal.run_id, max_bytes=_DRAWN_BYTES, stream=None)
                return modes, deque(end.chunks)
        return modes, tail

    def _draw_chunks(self, drawn: _Drawn, session: Session, chunks: deque[Chunk]) -> None:
        limit = self._now() + _PATIENCE
        left = sum(len(chunk.data) for chunk in chunks)
        while chunks:
            if left > _LATE_BYTES and len(chunks) > 1 and self._now() > limit:
                drawn.emulator.feed(_CANCEL)
                while left > _LATE_BYTES and len(chunks) > 1:
                    left -= len(chunks.popleft().data)
            chunk = chunks.popleft()
            left -= len(chunk.data)
            drawn.take(chunk, size_at(session, chunk.at))

    def _chunks(self, terminal: Terminal, since: int, last: int) -> Iterator[Chunk]:
        """Yield the chunks up to the last one; of an end that is not known yet, one page.

        What is printed meanwhile is not followed: it may come faster than it is drawn.
        """
        has_more = True
        while has_more and (since < last or not last):
            page = self._log.read(
                terminal.run_id,
                since=since,
                max_bytes=_PAGE_BYTES,
                max_chunks=_PAGE_CHUNKS,
                stream=None,
            )
            yield from (chunk for chunk in page.chunks if chunk.sequence <= last or not last)
            since, has_more = page.next_since, page.has_more and last > 0


def size_at(terminal: Terminal, at: float) -> TerminalSize:
    """Return the size that the terminal had at a time."""
    sizes = terminal.sizes
    return sizes[max(bisect_right(sizes, at, key=lambda each: each.at) - 1, 0)].size
