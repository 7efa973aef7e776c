"""Reading what runs printed: pages by cursor, the end of it, lines that match, and waiting for more."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Generic, Protocol, TypeVar

from console_automation.core import output
from console_automation.core.job import OutputCounts
from console_automation.core.output import Chunk, Line, Lines, Page
from console_automation.engine.patterns import compile_pattern
from console_automation.engine.waiters import Waiters
from console_automation.ports.runs import OutputLog, RunHost

_INLINE_CHUNKS = 256  # reading so few from the page cache is cheaper than a thread
_INLINE_BYTES = 1 << 17  # and so little, if it comes in chunks of
_COARSE_BYTES = 1 << 10  # that size on average
_SCAN_SECONDS = 2.0  # the longest that one call searches, give or take a chunk
_SCAN_CHUNKS = 2048  # read at a time for it
_CHUNK_BYTES = 4100  # a chunk has no more
_BEHIND_CHUNKS = 256  # how far before the cursor a line may have begun
#: What means something else in a text of many lines: its own begin and end, and flags switched off.
_WHOLE_TEXT = re.compile(r"\\[AzZ]|\(\?[a-zA-Z]*-")


class Printer(Protocol):
    """What has output: a job or a session."""

    @property
    def id(self) -> str: ...
    @property
    def run_id(self) -> str | None: ...
    @property
    def is_live(self) -> bool: ...
    @property
    def is_terminal(self) -> bool: ...
    @property
    def output(self) -> OutputCounts: ...


T = TypeVar("T", bound=Printer)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputQuery:
    """Which part of the output is wanted."""

    since: int = 0  #: only chunks after this sequence number
    latest: bool = False  #: the newest page instead of the next one
    max_bytes: int
    max_chunks: int
    stream: str | None = None
    tail: int | None = None  #: only the last lines
    grep: str | None = None  #: only lines that match this RE2 pattern
    ignore_case: bool = False
    invert: bool = False
    context: int = 0
    wait: float = 0.0  #: seconds to wait when there is nothing yet


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPage(Generic[T]):
    """A page, and the state of what printed it."""

    printer: T
    counts: OutputCounts
    page: Page


class OutputReader(Generic[T]):
    """Serves the output of jobs, or of sessions, live or over.

    `get` returns one by its id and `changes` tells of every step in its life.
    """

    def __init__(
        self,
        *,
        get: Callable[[str], Awaitable[T]],
        changes: Waiters,
        host: RunHost,
        log: OutputLog,
    ) -> None:
        self.get = get
        self._changes = changes
        self._host = host
        self._log = log

    def counts(self, printer: T) -> OutputCounts:
        """Return how much has been printed so far."""
        is_live = printer.is_live and printer.run_id
        live = self._host.progress(printer.run_id) if is_live and printer.run_id else None
        return live or printer.output

    async def read(self, printer_id: str, query: OutputQuery) -> OutputPage[T]:
        """Return the page; waits for output when asked to and there is none yet.

        Raises what `get` raises, and BadRequest for a pattern RE2 does not take.
        """
        matches = _matcher(query)
        limit = time.monotonic() + query.wait
        while True:
            # The printer first: if it is over by now, the page read after this is complete.
            printer = await self.get(printer_id)
            page = await self._page(printer, query, matches)
            left = limit - time.monotonic()
            if page.chunks or printer.is_terminal or left <= 0:
                return OutputPage(printer=printer, counts=self.counts(printer), page=page)
            query = replace(query, since=max(query.since, page.next_since))
            await self.news(printer, query.since, left)

    async def news(self, printer: T, after: int, timeout: float) -> None:
        """Return when something has been printed, or the printer has changed, or the time is up."""
        waits = [asyncio.ensure_future(self._changes.wait([printer.id], enough=1, timeout=timeout))]
        if printer.is_live and printer.run_id is not None:
            waits.append(
                asyncio.ensure_future(self._host.wait_for_output(printer.run_id, after=after))
            )
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _page(
        self, printer: T, query: OutputQuery, matches: Callable[[str], bool] | None
    ) -> Page:
        run_id, is_over = printer.run_id, printer.is_terminal
        if run_id is None or (is_over and printer.output.last_sequence <= 0):
            return Page(next_since=query.since)
        if matches:
            end = printer.output.last_sequence + 1 if is_over else None
            return await asyncio.to_thread(self._search, run_id, query, matches, end)
        if _is_quick(query, self.counts(printer)):
            return self._read(run_id, query)
        return await asyncio.to_thread(self._read, run_id, query)

    def _read(self, run_id: str, query: OutputQuery) -> Page:
        if query.tail is not None or query.latest:
            page = self._log.read_end(run_id, max_bytes=query.max_bytes, stream=query.stream)
            fresh = [chunk for chunk in page.chunks if chunk.sequence > query.since]
            chunks = fresh if query.tail is None else output.last_lines(fresh, query.tail)
            return _with(page, chunks[-query.max_chunks :], max(page.next_since, query.since))
        return self._log.read(
            run_id,
            since=query.since,
            max_bytes=query.max_bytes,
            max_chunks=query.max_chunks,
            stream=query.stream,
        )

    def _search(
        self, run_id: str, query: OutputQuery, matches: Callable[[str], bool], end: int | None
    ) -> Page:
        """Return the matching lines of the next stretch of output."""
        scan = _Scan(self._log, run_id, query, end, lambda: Lines(_sieve(query)))
        found: Iterable[Line] = output.grep(
            scan, matches, invert=query.invert, context=query.context
        )
        if query.tail is not None or query.latest:
            found = deque(found, maxlen=query.tail or query.max_chunks)
        kept, is_all = _fitting(found, query)
        shown = kept[-1].sequence if kept else 0
        return Page(
            chunks=tuple(_chunks(kept)),
            next_since=max(shown, scan.cursor) if is_all else shown,
            has_more=scan.has_more or not is_all,
            first_available=scan.first_available,
        )


def _is_quick(query: OutputQuery, counts: OutputCounts) -> bool:
    """Whether a page can be read on the event loop without holding anybody up."""
    if counts.last_sequence <= _INLINE_CHUNKS:
        return True
    is_coarse = counts.bytes >= _COARSE_BYTES * counts.last_sequence
    return is_coarse and query.stream is None and query.max_bytes <= _INLINE_BYTES


class _Scan:
    """The lines that end after a cursor, as many as there is time for.

    A line counts as soon as it has ended, so that one that comes in pieces is neither cut nor missed.
    `end`, when the job is over, is the number under which what never ended comes.
    """

    def __init__(
        self,
        log: OutputLog,
        run_id: str,
        query: OutputQuery,
        end: int | None,
        lines: Callable[[], Lines],
    ) -> None:
        self.cursor = query.since  #: the last chunk whose lines have been looked at
        self.has_more = False
        self.first_available: int | None = None
        self._log = log
        self._run_id = run_id
        self._stream = query.stream
        self._end = end
        self._lines = lines

    def __iter__(self) -> Iterator[Line]:
        limit = time.monotonic() + _SCAN_SECONDS
        lines = self._begun_before()
        self.has_more = True
        while self.has_more:
            page = self._read(self.cursor, _SCAN_CHUNKS)
            self.first_available = self.first_available or page.first_available
            for chunk in page.chunks:
                yield from lines.ended_in(chunk)
                self.cursor = chunk.sequence
                if time.monotonic() > limit:
                    return
            self.cursor, self.has_more = page.next_since, page.has_more
        if self._end is not None and self.cursor < self._end:
            yield from lines.rest(self._end)

    def _begun_before(self) -> Lines:
        """Return what is there, at the cursor, of lines that end after it."""
        lines = self._lines()
        start = max(0, self.cursor - _BEHIND_CHUNKS)
        page = self._read(start, self.cursor - start)
        for chunk in page.chunks:
            if chunk.sequence > self.cursor:
                break
            deque(lines.ended_in(chunk), maxlen=0)
        return lines

    def _read(self, since: int, count: int) -> Page:
        return self._log.read(
            self._run_id,
            since=since,
            max_bytes=count * _CHUNK_BYTES,
            max_chunks=count,
            stream=self._stream,
        )


def _fitting(lines: Iterable[Line], query: OutputQuery) -> tuple[list[Line], bool]:
    """Return the lines that fit into the page, whole chunks of them, and whether these are all."""
    size = chunks = 0
    kept: list[Line] = []
    for line in lines:
        size += len(line.text) + 1
        chunks += bool(kept) and _source(line) != _source(kept[-1])
        full = size > query.max_bytes or chunks >= query.max_chunks
        if kept and full and line.sequence > kept[-1].sequence:
            return kept, False
        kept.append(line)
    return kept, True


def _source(line: Line) -> tuple[int, str]:
    return line.sequence, line.stream


def _chunks(lines: Iterable[Line]) -> Iterator[Chunk]:
    """Yield the lines, those of one chunk together."""
    for (sequence, stream), group in groupby(lines, key=_source):
        of_one = list(group)
        text = "".join(f"{line.text}\n" for line in of_one)
        yield Chunk(sequence, of_one[0].at, stream, text.encode("utf-8", "replace"))


def _with(page: Page, chunks: Iterable[Chunk], cursor: int) -> Page:
    return Page(
        chunks=tuple(chunks),
        next_since=cursor,
        has_more=page.has_more,
        first_available=page.first_available,
    )


def _matcher(query: OutputQuery) -> Callable[[str], bool] | None:
    """Return the pattern as a test of a line; what a terminal puts before its end is no part of it."""
    if query.grep is None:
        return None
    pattern = compile_pattern(query.grep, field="options.grep", ignore_case=query.ignore_case)
    return lambda text: pattern.search(text.rstrip("\r")) is not None


def _sieve(query: OutputQuery) -> Callable[[bytes], bool]:
    """Return what tells of many lines at once that none of them matches: one search instead of
    hundreds. It may be wrong only in the other direction."""
    every_line_counts = query.invert or query.context
    if query.grep is None or every_line_counts or _WHOLE_TEXT.search(query.grep):
        return lambda text: True
    pattern = compile_pattern(
        query.grep, field="options.grep", ignore_case=query.ignore_case, lines=True
    )
    return lambda text: b"\r" in text or pattern.search(text.decode("utf-8", "replace")) is not None
