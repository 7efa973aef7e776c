"""Reading what jobs printed: pages by cursor, the end of it, lines that match, and waiting for more."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import re2

from console_automation.core import output
from console_automation.core.job import Job, OutputCounts
from console_automation.core.output import Chunk, Line, Page
from console_automation.engine.jobs import JobManager
from console_automation.errors import BadRequest
from console_automation.ports import OutputLog

_INLINE_BYTES = 1 << 17  # reading this much from the page cache is cheaper than a thread
_SCAN_BYTES = 32 << 20  # the most that one call searches
_SCAN_SECONDS = 2.0  # and the longest, give or take a line
_PATTERN_MEMORY = 8 << 20
_PATTERN_STEPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputQuery:
    """Which part of a job's output is wanted."""

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
class OutputPage:
    """A page, and the state of the job it was read from."""

    job: Job
    counts: OutputCounts
    page: Page


class OutputReader:
    """Serves the output of jobs, live or over."""

    def __init__(self, manager: JobManager, log: OutputLog) -> None:
        self._manager = manager
        self._log = log

    def counts(self, job: Job) -> OutputCounts:
        """Return how much a job has printed so far."""
        live = self._manager.host.progress(job.run_id) if job.is_live and job.run_id else None
        return live or job.output

    async def read(self, job_id: str, query: OutputQuery) -> OutputPage:
        """Return the page; waits for output when asked to and there is none yet.

        Raises JobNotFound, and BadRequest for a pattern RE2 does not take.
        """
        matches = _matcher(query)
        limit = time.monotonic() + query.wait
        while True:
            # The job first: if it is over by now, the page read after this is complete.
            job = await self._manager.ledger.get(job_id)
            page = await self._page(job, query, matches)
            left = limit - time.monotonic()
            if page.chunks or job.is_terminal or left <= 0:
                return OutputPage(job=job, counts=self.counts(job), page=page)
            await self._news(job, max(query.since, page.next_since), left)

    async def _news(self, job: Job, after: int, timeout: float) -> None:
        """Return when the job has printed something, or has changed, or the time is up."""
        host = self._manager.host
        waits = [
            asyncio.ensure_future(self._manager.changes.wait([job.id], enough=1, timeout=timeout))
        ]
        if job.is_live and job.run_id is not None:
            waits.append(asyncio.ensure_future(host.wait_for_output(job.run_id, after=after)))
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _page(
        self, job: Job, query: OutputQuery, matches: Callable[[str], bool] | None
    ) -> Page:
        if job.run_id is None or (job.is_terminal and job.output.last_sequence <= 0):
            return Page(next_since=query.since)
        if matches or query.tail is not None or query.max_bytes > _INLINE_BYTES:
            return await asyncio.to_thread(self._read, job.run_id, query, matches)
        return self._read(job.run_id, query, None)

    def _read(self, run_id: str, query: OutputQuery, matches: Callable[[str], bool] | None) -> Page:
        if matches:
            return self._search(run_id, query, matches)
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

    def _search(self, run_id: str, query: OutputQuery, matches: Callable[[str], bool]) -> Page:
        """Return the matching lines of the next stretch of output, one chunk per line."""
        scanned = self._log.read(
            run_id,
            since=query.since,
            max_bytes=_SCAN_BYTES,
            max_chunks=_SCAN_BYTES,
            stream=query.stream,
        )
        scan = _Scan(output.lines_of(scanned.chunks), query.since)
        found = output.grep(scan, matches, invert=query.invert, context=query.context)
        if query.tail is not None or query.latest:
            found = iter(deque(found, maxlen=query.tail or query.max_chunks))
        kept, is_all = _fitting(found, query)
        cursor, has_more = scanned.next_since, scanned.has_more
        if not is_all:
            cursor, has_more = max(query.since, kept[-1].sequence), True
        elif not scan.is_whole:
            cursor, has_more = scan.reached, True
        return Page(
            chunks=tuple(map(_chunk, kept)),
            next_since=cursor,
            has_more=has_more,
            first_available=scanned.first_available,
        )


class _Scan:
    """The lines that begin after a cursor, as many as there is time for, whole chunks of them."""

    def __init__(self, lines: Iterable[Line], since: int) -> None:
        self.reached = since  #: the last chunk whose lines have been looked at
        self.is_whole = True
        self._lines = lines
        self._limit = time.monotonic() + _SCAN_SECONDS

    def __iter__(self) -> Iterator[Line]:
        begun = False
        for line in self._lines:
            if line.sequence > self.reached:
                if begun and time.monotonic() > self._limit:
                    self.is_whole = False
                    return
                self.reached = line.sequence
                begun = True
            yield line


def _fitting(lines: Iterable[Line], query: OutputQuery) -> tuple[list[Line], bool]:
    """Return the lines that fit into the page, whole chunks of them, and whether these are all."""
    size = 0
    kept: list[Line] = []
    for line in lines:
        size += len(line.text) + 1
        full = size > query.max_bytes or len(kept) >= query.max_chunks
        if kept and full and line.sequence > kept[-1].sequence:
            return kept, False
        kept.append(line)
    return kept, True


def _chunk(line: Line) -> Chunk:
    return Chunk(line.sequence, line.at, line.stream, line.text.encode("utf-8", "replace") + b"\n")


def _with(page: Page, chunks: Iterable[Chunk], cursor: int) -> Page:
    return Page(
        chunks=tuple(chunks),
        next_since=cursor,
        has_more=page.has_more,
        first_available=page.first_available,
    )


def _matcher(query: OutputQuery) -> Callable[[str], bool] | None:
    """Return the pattern as a test of a line.

    RE2 takes linear time, whatever the pattern. Bounds on the pattern, the line and the whole search
    keep the constant small as well.
    """
    if query.grep is None:
        return None
    options = re2.Options()
    options.case_sensitive = not query.ignore_case
    options.max_mem = _PATTERN_MEMORY
    options.log_errors = False
    try:
        pattern = re2.compile(query.grep, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise BadRequest(
            f"options.grep: {reason}. Patterns are RE2: no look-around and no back-references.",
            field="options.grep",
        ) from None
    if pattern.programsize > _PATTERN_STEPS:
        raise BadRequest(
            f"options.grep: the pattern takes {pattern.programsize} steps for a character,"
            f" {_PATTERN_STEPS} are allowed. Repeat less, or less wide classes.",
            field="options.grep",
        )
    return lambda text: pattern.search(text) is not None
