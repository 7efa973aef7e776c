"""Waiting until a session has printed what a pattern matches."""

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from console_automation.core.marks import MarkKind, find_marks
from console_automation.core.output import Chunk
from console_automation.core.session import Session
from console_automation.core.text import one_line, sanitize
from console_automation.engine.consoles import session_closed
from console_automation.engine.output import OutputQuery, OutputReader
from console_automation.engine.patterns import compile_pattern
from console_automation.engine.tracker import Typed
from console_automation.errors import TimedOut

_WINDOW_BYTES = 64 << 10  #: what is searched at once: a match is no longer
_PAGE_BYTES = 48 << 10
_PAGE_CHUNKS = 1 << 12
_STEPS = 2_000  #: a search takes half a second at worst
_INLINE_WORK = 1 << 20  #: bytes times steps: a millisecond
_CONTEXT = 600  #: characters before and after a match
_ECHO_END = 24  #: characters of the input's end that are looked for in its echo
_ECHO_REACH = 2048  #: characters in which the echo is looked for, besides the input's own length
_TELLING = 8  #: characters of an echo that nothing else is likely to have
_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is waited for. The echo of `typed` does not count."""

    pattern: str
    since: int
    timeout: float
    ignore_case: bool = False
    typed: Typed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A match, what surrounds it, and the cursor for whatever comes after it."""

    match: str
    groups: tuple[str, ...]
    before: str
    after: str
    next_since: int


async def wait_for_output(
    reader: OutputReader[Session], session_id: str, wanted: Expectation
) -> Found:
    """Return the first match in what is printed after `since`.

    Raises SessionNotFound, BadRequest for the pattern, TimedOut, and SessionClosed at once when the
    session ends without a match.
    """
    pattern = compile_pattern(
        wanted.pattern, field="pattern", ignore_case=wanted.ignore_case, lines=True, steps=_STEPS
    )
    limit = time.monotonic() + wanted.timeout
    window = _Window(wanted)
    cursor = wanted.since
    there = reader.counts(await reader.get(session_id)).last_sequence  # is searched in any case
    while True:
        left = max(0.0, limit - time.monotonic())
        query = OutputQuery(since=cursor, max_bytes=_PAGE_BYTES, max_chunks=_PAGE_CHUNKS, wait=left)
        read = await reader.read(session_id, query)
        for chunk in read.page.chunks:
            window.add(chunk)
        text, match = await _search(window, pattern)
        if match:
            return Found(
                match=match.group(0),
                groups=tuple(group or "" for group in match.groups()),
                before=text[max(0, match.start() - _CONTEXT) : match.start()],
                after=text[match.end() : match.end() + _CONTEXT],
                next_since=read.page.next_since,
            )
        cursor = read.page.next_since
        if read.page.has_more and (left > 0 or cursor < there):
            continue
        if read.printer.is_terminal:
            raise session_closed(read.printer)
        if left <= 0:
            raise _timed_out(session_id, wanted, text, window.since)


async def _search(window: "_Window", pattern: Any) -> tuple[str, Any]:
    def search() -> tuple[str, Any]:
        text = window.text()
        return text, pattern.search(text)

    if window.size * pattern.programsize > _INLINE_WORK:
        return await asyncio.to_thread(search)
    return search()


def _timed_out(session_id: str, wanted: Expectation, text: str, since: int) -> TimedOut:
    """What was searched may be the beginning of a match, so the next wait is to begin with it."""
    shown = one_line(text[-_SHOWN * 4 :], _SHOWN * 2)[-_SHOWN:]
    printed = f"It printed: …{shown}" if shown else "It printed nothing."
    how = "without since" if wanted.typed else f"with since={since}"
    return TimedOut(
        f"Session {session_id} printed nothing that matches {one_line(wanted.pattern, 80)!r} in"
        f" {wanted.timeout:g} s. {printed} Wait again, {how}, or look at console_get_screen.",
        sessionId=session_id,
        nextSince=since,
    )


class _Window:
    """The newest part of what has been printed, without the echo of the input."""

    def __init__(self, wanted: Expectation) -> None:
        self.since = wanted.since  #: the chunk before the first one in it
        self._data = bytearray()
        self._begin = 0  #: where in it the output begins, behind the echo
        self._sizes: deque[tuple[int, int]] = deque()
        self._echo = wanted.typed
        typed = wanted.typed.text if wanted.typed else ""
        lines = [line for line in typed.splitlines() if line.strip()]
        self._echo_end = lines[-1].strip()[-_ECHO_END:] if lines else ""

    @property
    def size(self) -> int:
        """How many bytes are searched."""
        return len(self._data)

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        self._data += chunk.data
        self._sizes.append((chunk.sequence, len(chunk.data)))
        while len(self._data) > _WINDOW_BYTES and len(self._sizes) > 1:
            self._echo = None
            self.since, size = self._sizes.popleft()
            del self._data[:size]
            self._begin = max(0, self._begin - size)

    def text(self) -> str:
        """Return what is to be searched."""
        if self._echo and self._echo.marked:
            end = _begun(self._data)
            if end is None:
                return ""
            self._begin = end
            self._echo = None
        text = sanitize(self._data[self._begin :].decode("utf-8", "replace"))
        return self._without_echo(text, self._echo.text) if self._echo_end and self._echo else text

    def _without_echo(self, text: str, typed: str) -> str:
        reach = len(typed) + _ECHO_REACH
        end = self._end_of_echo(text[:reach], typed)
        if end is not None:
            return text[end:]
        is_under_way = len(text) <= reach and _squeezed(text) in _squeezed(typed)
        return "" if is_under_way else text

    def _end_of_echo(self, text: str, typed: str) -> int | None:
        """Without an echo, what was typed may well be part of a word that is printed."""
        found = re.search(re.escape(self._echo_end) + r"[ \t]*$", text, re.MULTILINE)
        if found:
            return found.start() + len(self._echo_end)
        end = text.find(self._echo_end) + len(self._echo_end)
        is_found = end >= len(self._echo_end)
        is_first = is_found and _squeezed(typed).endswith(_squeezed(text[:end]))
        is_telling = is_found and len(self._echo_end) >= _TELLING
        return end if is_first or is_telling else None


def _begun(data: bytearray) -> int | None:
    """Return where the output of what was typed begins, by the marks of its shell."""
    for mark in find_marks(bytes(data)):
        if mark.kind is MarkKind.BEGIN:
            return mark.end
        if mark.kind is MarkKind.PROMPT and b"\n" in data[: mark.start]:
            return mark.start  # an empty line begins nothing
    return None


def _squeezed(text: str) -> str:
    return "".join(text.split())
