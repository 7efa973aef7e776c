"""Recordings of sessions: made from their output page by page, never held as a whole."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from console_automation.core.recording import DROPPED, Recording, fitting
from console_automation.core.session import Session
from console_automation.engine.output import OutputPage, OutputQuery, OutputReader

_PAGE = OutputQuery(max_bytes=1 << 18, max_chunks=1 << 12)
_LEFT_OUT = "the output before this is left out here: `console-automation record {id}` has it"


async def recording(output: OutputReader[Session], session_id: str) -> AsyncIterator[str]:
    """Yield the lines of a session's recording: all that is retained, up to now.

    Raises SessionNotFound.
    """
    read = await output.read(session_id, _PAGE)
    now = read.counts.last_sequence  # a session that prints all the time would never be done
    making = Recording(read.printer)
    while True:
        for line in making.lines(read.page.chunks):
            yield line
        since = read.page.next_since
        if not read.page.has_more or since >= now:
            break
        read = await output.read(session_id, replace(_PAGE, since=since))
    for line in making.rest():
        yield line


async def newest_recording(
    output: OutputReader[Session], session_id: str, *, max_bytes: int
) -> str:
    """Return a session's recording, or as much of its end as `max_bytes` hold.

    A marker says what is missing. Raises SessionNotFound.
    """
    wanted = OutputQuery(latest=True, max_bytes=max_bytes, max_chunks=max_bytes)
    read = await output.read(session_id, wanted)
    return await asyncio.to_thread(_newest, read, max_bytes)


def _newest(read: OutputPage[Session], max_bytes: int) -> str:
    session, page = read.printer, read.page
    chunks = fitting(session, page.chunks, max_bytes)
    is_all = not chunks or chunks[0].sequence <= (page.first_available or 0)
    gap = DROPPED if is_all else _LEFT_OUT.format(id=session.id)
    making = Recording(session)
    return "".join((*making.lines(chunks, gap=gap), *making.rest()))
