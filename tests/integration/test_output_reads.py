"""Promise 12: reads by cursor are exact, and readers, however many or slow, change nothing for the job."""

import asyncio
import base64
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.adapters.output_log import SegmentLog
from console_automation.adapters.shims import ShimHost
from console_automation.app import App
from tests.waiting import PATIENCE, until

WAIT_MS = PATIENCE * 1000
STREAMS = ("stdout", "stderr")
Chunks = list[dict[str, Any]]


async def finished(app: App, script: str, **options: Any) -> str:
    """Run a job to its end and return its id."""
    job_id = await app.start_background_job("sh", ["-c", script], **options)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert job["status"] == "completed", job
    return job_id


async def paged(app: App, job_id: str, **options: Any) -> Chunks:
    """Return the chunks of all pages, the cursor going on as it must."""
    found: Chunks = []
    since = 0
    while True:
        page = await app.get_background_job_output(job_id, since=since, **options)
        assert page["output"] or not page["hasMore"]
        numbers = [chunk["sequenceNumber"] for chunk in page["output"]]
        assert numbers == sorted(numbers) and all(number > since for number in numbers)
        assert page["nextSince"] >= max(numbers, default=since)
        found += page["output"]
        since = page["nextSince"]
        if not page["hasMore"]:
            return found


def texts(chunks: Chunks) -> dict[str, str]:
    return {
        name: "".join(chunk["content"] for chunk in chunks if chunk["type"] == name)
        for name in STREAMS
    }


async def test_colours_leave_nothing_behind_wherever_the_output_is_cut(app: App) -> None:
    """Promise 20: a control sequence is never cut, so none of it is taken for text."""
    lines = 20_000
    script = f"yes \"$(printf '\\033[31mred\\033[0m')\" | head -{lines}; printf '\\033['; printf '1mbold'"
    job_id = await finished(app, script)
    assert texts(await paged(app, job_id))["stdout"] == "red\n" * lines + "bold"


async def test_matching_lines_come_together_so_that_the_limits_hold(app: App) -> None:
    job_id = await finished(app, "seq 1 50000")
    for options in ({"limit": 3}, {"max_bytes": 1000}, {}):
        page = await app.get_background_job_output(job_id, grep="1", **options)
        assert len(page["output"]) <= options.get("limit", 20)
        assert page["hasMore"]
    found = texts(await paged(app, job_id, grep="1", limit=2))["stdout"].split()
    assert found == [str(number) for number in range(1, 50_001) if "1" in str(number)]


# -- partitions ----------------------------------------------------------------------------------


async def test_any_partition_of_reads_gives_back_the_bytes(
    app: App, home: Path, tmp_path: Path
) -> None:
    """Whatever the bytes are: text, halves of characters, NULs, noise."""
    chance = random.Random(12)
    pieces = [chance.randbytes(50), "é€😀".encode() * 40, b"\xe2\x82", b"line\r\n" * 30, b"\0" * 99]
    printed = {name: b"".join(chance.choices(pieces, k=2000)) for name in STREAMS}
    for name, data in printed.items():
        (tmp_path / name).write_bytes(data)
    job_id = await finished(app, f"cat {tmp_path}/stdout & cat {tmp_path}/stderr >&2; wait")
    log = SegmentLog(home / "runs")

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 200_000), st.integers(1, 40)), min_size=1))
    def partition(pages: list[tuple[int, int]]) -> None:
        found, since, turn = dict.fromkeys(STREAMS, b""), 0, 0
        while True:
            most, count = pages[turn % len(pages)]
            page = log.read(
                f"{job_id}.1", since=since, max_bytes=most, max_chunks=count, stream=None
            )
            for chunk in page.chunks:
                assert chunk.sequence == since + 1
                found[chunk.stream] += chunk.data
                since = chunk.sequence
            turn += 1
            if not page.has_more:
                break
        assert found == printed

    partition()
    for options in ({"limit": 7}, {"max_bytes": 5000}, {"max_bytes": 1 << 20}):
        chunks = await paged(app, job_id, raw=True, **options)
        found = {
            name: b"".join(base64.b64decode(c["content"]) for c in chunks if c["type"] == name)
            for name in STREAMS
        }
        assert found == printed


async def test_a_character_is_never_split_between_pages(app: App, tmp_path: Path) -> None:
    """Nor between two reads of the pipe: powers of two are no multiples of these characters."""
    printed = {"stdout": "€" * 60_000, "stderr": "😀aé" * 25_000}
    for name, text in printed.items():
        (tmp_path / name).write_text(text)
    job_id = await finished(app, f"cat {tmp_path}/stdout; cat {tmp_path}/stderr >&2")
    for options in ({"limit": 1}, {"max_bytes": 1}, {"max_bytes": 4097}, {"max_bytes": 30_001}):
        assert texts(await paged(app, job_id, **options)) == printed


async def test_text_is_valid_whatever_was_printed(app: App, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(random.Random(5).randbytes(100_000))
    job_id = await finished(app, f"cat {tmp_path}/noise")
    for chunk in await paged(app, job_id, limit=3):
        chunk["content"].encode("utf-8")


async def test_one_stream_alone_has_the_cursor_of_both(app: App) -> None:
    job_id = await finished(app, "for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    for name in STREAMS:
        for limit in (1, 100):
            chunks = await paged(app, job_id, stream=name, limit=limit)
            assert texts(chunks)[name] == "".join(f"{name[3:]} {i}\n" for i in (1, 2, 3))
            assert {chunk["type"] for chunk in chunks} == {name}
    page = await app.get_background_job_output(job_id, stream="stderr")
    job = await app.get_background_job_status(job_id)
    assert page["nextSince"] == job["output"]["lastSequence"]


# -- what is gone --------------------------------------------------------------------------------


async def test_what_was_dropped_is_declared_and_the_cursor_goes_on(app: App) -> None:
    job_id = await finished(app, "seq 200000", output_limit_bytes=65_536)
    page = await app.get_background_job_output(job_id, since=5, max_bytes=5000)
    first = page["firstAvailableSequence"]
    assert first > 6 and page["output"][0]["sequenceNumber"] == first
    assert page["nextSince"] == page["output"][-1]["sequenceNumber"]
    chunks = await paged(app, job_id, max_bytes=5000)
    kept, numbers = texts(chunks)["stdout"], [chunk["sequenceNumber"] for chunk in chunks]
    whole = "".join(f"{number}\n" for number in range(1, 200_001))
    assert whole.endswith(kept) and page["droppedBytes"] == len(whole) - len(kept)
    assert numbers == list(range(first, numbers[-1] + 1))


async def test_a_cursor_beyond_the_end_stays_where_it_is(app: App) -> None:
    silent, spoken = await finished(app, "true"), await finished(app, "echo")
    for job_id in (silent, spoken):
        page = await app.get_background_job_output(job_id, since=1000)
        assert (page["output"], page["nextSince"], page["hasMore"]) == ([], 1000, False)
    assert (await app.get_background_job_output(silent))["firstAvailableSequence"] is None


# -- many readers --------------------------------------------------------------------------------


async def follow(app: App, job_id: str, **options: Any) -> Chunks:
    """Read what a live job prints, as it prints it, until it is over."""
    found: Chunks = []
    since = 0
    while True:
        page = await app.get_background_job_output(
            job_id, since=since, wait_ms=WAIT_MS, max_bytes=3000, **options
        )
        found += page["output"]
        since = page["nextSince"]
        if page["status"] != "running" and not page["hasMore"]:
            return found


async def test_two_hundred_readers_see_the_same_and_the_dead_ones_do_no_harm(app: App) -> None:
    script = "for i in $(seq 100); do echo line $i; echo error $i >&2; sleep 0.005; done"
    job_id = await app.start_background_job(script)
    readers = [asyncio.create_task(follow(app, job_id)) for _ in range(200)]
    await until(lambda: has_printed(app, job_id, "line 10\n"))
    for reader in readers[150:]:
        reader.cancel()
    stories = await asyncio.gather(*readers[:150])
    job = await app.get_background_job_status(job_id)
    assert (job["status"], job["output"]["droppedBytes"]) == ("completed", 0)
    assert texts(stories[0]) == {
        "stdout": "".join(f"line {i}\n" for i in range(1, 101)),
        "stderr": "".join(f"error {i}\n" for i in range(1, 101)),
    }
    assert all(story == stories[0] for story in stories)
    host = app.engine.jobs.host
    assert isinstance(host, ShimHost) and not host._watchers


async def has_printed(app: App, job_id: str, text: str) -> bool:
    return text in texts(await paged(app, job_id))["stdout"]


async def test_waiting_for_output_ends_with_output_with_the_job_or_with_the_time(app: App) -> None:
    job_id = await app.start_background_job("cat", [], keep_stdin=True)
    early = await app.get_background_job_output(job_id, wait_ms=1)
    assert (early["output"], early["status"]) == ([], "running")
    waiting = asyncio.create_task(app.get_background_job_output(job_id, wait_ms=WAIT_MS))
    await feed(app, job_id, "hello\n")
    page = await waiting
    assert texts(page["output"])["stdout"] == "hello\n"
    since = page["nextSince"]
    waiting = asyncio.create_task(
        app.get_background_job_output(job_id, since=since, wait_ms=WAIT_MS)
    )
    await feed(app, job_id, "", eof=True)
    page = await waiting
    assert (page["output"], page["nextSince"], page["status"]) == ([], since, "completed")


async def feed(app: App, job_id: str, text: str, *, eof: bool = False) -> None:
    """Give a job input, and again if it is not there to take it yet."""

    async def is_taken() -> bool:
        answer = await app.call("console_send_job_input", jobId=job_id, input=text, eof=eof)
        return not answer.is_error

    await until(is_taken)


# -- parts ---------------------------------------------------------------------------------------

NUMBERS = [str(number) for number in range(1, 5001)]


def lines(chunks: Chunks) -> list[str]:
    return texts(chunks)["stdout"].splitlines()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tail": 3}, ["4998", "4999", "5000"]),
        ({"tail": 1}, ["5000"]),
        ({"grep": "^12.$"}, [n for n in NUMBERS if re.match("^12.$", n)]),
        ({"grep": "[1-9]", "invert": True}, []),
        ({"grep": "^(.|..|...)$", "invert": True, "tail": 2}, ["4999", "5000"]),
        ({"grep": "^77$", "context": 1}, ["76", "77", "78"]),
        ({"grep": "^1000$|^1001$", "context": 2}, ["998", "999", "1000", "1001", "1002", "1003"]),
        ({"grep": "^99", "tail": 2}, ["998", "999"]),
        ({"grep": "nothing like it"}, []),
    ],
)
async def test_parts_of_the_output(app: App, options: dict[str, Any], expected: list[str]) -> None:
    job_id = await finished(app, "seq 5000")
    page = await app.get_background_job_output(job_id, **options)
    assert lines(page["output"]) == expected


async def test_the_latest_page_is_the_end(app: App) -> None:
    job_id = await finished(app, "seq 5000")
    page = await app.get_background_job_output(job_id, latest=True, max_bytes=4096)
    text = texts(page["output"])["stdout"]
    assert "".join(f"{n}\n" for n in NUMBERS).endswith(text) and 0 < len(text) <= 4096
    job = await app.get_background_job_status(job_id)
    assert page["nextSince"] == job["output"]["lastSequence"]


async def test_a_search_may_mind_case_or_not(app: App) -> None:
    job_id = await finished(app, "printf 'Error\\nerror\\nfine\\n'")
    for ignore, expected in ((True, ["Error", "error"]), (False, ["error"])):
        page = await app.get_background_job_output(job_id, grep="error", ignore_case=ignore)
        assert lines(page["output"]) == expected


@pytest.mark.parametrize("size", [1, 100, 3000, 1 << 20])
async def test_a_search_in_pages_finds_each_line_once(app: App, size: int) -> None:
    """However lines and chunks overlap, and with both streams in between."""
    job_id = await finished(app, "seq 6000 & seq 6000 >&2; wait")
    chunks = await paged(app, job_id, grep="77", max_bytes=size)
    expected = [str(n) for n in range(1, 6001) if "77" in str(n)]
    assert {name: text.split() for name, text in texts(chunks).items()} == dict.fromkeys(
        STREAMS, expected
    )


async def test_a_search_that_follows_finds_a_line_that_comes_in_pieces_once(app: App) -> None:
    """A line is looked at when it has ended, not when half of it happened to be there."""
    job_id = await app.start_background_job("cat", [], keep_stdin=True)
    found: Chunks = []
    since = printed = 0
    for piece in ("al", "pha\nbe", "ta\n", "gam", "ma\nalph", "a", " alpha"):
        await feed(app, job_id, piece)
        printed += len(piece)
        await until(lambda most=printed: has_come_to(app, job_id, most))
        page = await app.get_background_job_output(job_id, since=since, grep="alpha|gamma")
        found += page["output"]
        since = page["nextSince"]
    assert lines(found) == ["alpha", "gamma"]
    await feed(app, job_id, "", eof=True)
    await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    page = await app.get_background_job_output(job_id, since=since, grep="alpha|gamma")
    assert lines(found + page["output"]) == ["alpha", "gamma", "alpha alpha"]


async def has_come_to(app: App, job_id: str, printed: int) -> bool:
    job = await app.get_background_job_status(job_id)
    return bool(job["output"]["bytes"] == printed)
