"""Lines of a peer that is answered one by one, which may hang up at any moment."""

import asyncio

import pytest

from console_automation.frontends.lines import LinesAhead, LineTooLong
from tests.waiting import until


def said(text: bytes, *, limit: int = 100) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=limit)
    reader.feed_data(text)
    return reader


async def test_lines_come_one_after_the_other_until_the_peer_hangs_up() -> None:
    reader = said(b"one\ntwo\nhal")
    lines = LinesAhead(reader)
    reader.feed_eof()
    assert [await lines.next() for _ in range(4)] == [b"one", b"two", None, None]
    lines.close()


async def test_a_line_that_is_too_long_is_told_once_and_skipped() -> None:
    reader = said(b"x" * 300 + b"\nshort\n")
    lines = LinesAhead(reader)
    with pytest.raises(LineTooLong):
        await lines.next()
    assert await lines.next() == b"short"
    lines.close()


async def test_work_for_a_peer_that_stays_is_done() -> None:
    lines = LinesAhead(said(b"next\n"))

    async def work() -> int:
        await asyncio.sleep(0)
        return 42

    assert await lines.unless_gone(work()) == 42
    assert await lines.next() == b"next"
    lines.close()


async def test_what_goes_wrong_in_the_work_is_its_callers() -> None:
    lines = LinesAhead(said(b""))

    async def work() -> None:
        raise KeyError("wrong")

    with pytest.raises(KeyError):
        await lines.unless_gone(work())
    lines.close()


@pytest.mark.parametrize("half", [b"", b"hal"])
async def test_work_for_a_peer_that_hangs_up_is_given_up(half: bytes) -> None:
    tasks = len(asyncio.all_tasks())
    reader = said(half)
    lines = LinesAhead(reader)
    asyncio.get_running_loop().call_soon(reader.feed_eof)
    with pytest.raises(ConnectionResetError):
        await lines.unless_gone(asyncio.Event().wait())
    lines.close()
    await until(lambda: len(asyncio.all_tasks()) == tasks, "the end of all tasks")


async def test_who_is_cancelled_takes_the_work_along() -> None:
    tasks = len(asyncio.all_tasks())
    lines = LinesAhead(said(b""))
    waiting = asyncio.ensure_future(lines.unless_gone(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    lines.close()
    await until(lambda: len(asyncio.all_tasks()) == tasks, "the end of all tasks")
