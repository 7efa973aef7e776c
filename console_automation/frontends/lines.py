"""Lines over an asyncio stream, bounded: a line that is too long is reported and skipped."""

import asyncio

from console_automation.frontends.handshake import LONGEST_LINE


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
