"""Lines over an asyncio stream, bounded: a line that is too long is reported and skipped."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from console_automation.frontends.handshake import LONGEST_LINE

T = TypeVar("T")


class LineTooLong(Exception):
    """The peer sent a line beyond the limit; it has been skipped."""


async def read_line(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next line without its end, None when the peer has closed, whole line or not.

    Raises LineTooLong.
    """
    try:
        return (await reader.readuntil(b"\n"))[:-1]
    except asyncio.IncompleteReadError:
        return None
    except ConnectionError:
        return None
    except asyncio.LimitOverrunError as error:
        await _skip_line(reader, error.consumed)
        raise LineTooLong(f"a line may have {LONGEST_LINE} bytes") from None


async def _skip_line(reader: asyncio.StreamReader, consumed: int) -> None:
    while True:
        try:
            await reader.readexactly(consumed)
            await reader.readuntil(b"\n")
            return
        except asyncio.LimitOverrunError as error:
            consumed = error.consumed
        except asyncio.IncompleteReadError:
            return


class LinesAhead:
    """The lines of a peer that is answered one by one.

    The next line is read while the one before is answered, so that it shows when the peer hangs up.
    Nothing more is taken in: who asks ahead and hangs up is noticed at the next answer.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._next = self._reading()

    async def next(self) -> bytes | None:
        """Return the next line as `read_line` does. Raises LineTooLong."""
        try:
            return await self._next
        finally:
            self._next = self._reading()

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work comes to. It is given up when the peer hangs up before that.

        Raises ConnectionResetError then.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._next}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self._has_gone:
                raise ConnectionResetError("the peer has hung up")
            return await task
        finally:
            task.cancel()

    def close(self) -> None:
        """Read no more."""
        self._next.cancel()

    @property
    def _has_gone(self) -> bool:
        line = self._next
        return line.done() and line.exception() is None and line.result() is None

    def _reading(self) -> "asyncio.Task[bytes | None]":
        line = asyncio.ensure_future(read_line(self._reader))
        line.add_done_callback(lambda line: line.cancelled() or line.exception())
        return line
