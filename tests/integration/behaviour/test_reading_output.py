"""console_get_job_output: pages by cursor, the end, streams, searching, waiting for more."""

import asyncio
import base64
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, pages, printed, start, status, text_of
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ = "console_get_job_output"
NUMBERS = "".join(f"{number}\n" for number in range(1, 5001))


async def finished(client: Client, command: str, **options: Any) -> str:
    """Return the id of a job that has run to its end."""
    job_id = await start(client, command, **options)
    await over(client, job_id)
    return job_id


@pytest.mark.parametrize("options", [{"limit": 1}, {"maxBytes": 5000}, {"limit": 3, "maxBytes": 1}])
async def test_pages_of_any_size_add_up_to_the_whole(
    client: Client, options: dict[str, Any]
) -> None:
    job_id = await finished(client, "seq 1 5000")
    read = await pages(client, job_id, **options)
    assert len(read) > 1
    assert text_of(*read) == NUMBERS
    numbers = [chunk["sequenceNumber"] for page in read for chunk in page["output"]]
    assert numbers == list(range(1, len(numbers) + 1))
    job = await status(client, job_id)
    assert (job["output"]["bytes"], job["output"]["lastSequence"]) == (len(NUMBERS), numbers[-1])


async def test_reading_on_after_the_end_gives_nothing_twice(client: Client) -> None:
    job_id = await finished(client, "echo once")
    first = await ok(client, READ, jobId=job_id)
    again = await ok(client, READ, jobId=job_id, options={"since": first["nextSince"]})
    assert (again["output"], again["hasMore"]) == ([], False)
    assert again["nextSince"] == first["nextSince"]
    beyond = await ok(client, READ, jobId=job_id, options={"since": 10**9})
    assert (beyond["output"], beyond["hasMore"]) == ([], False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tail": 2}, "4999\n5000\n"),
        ({"tail": 1, "stream": "stdout"}, "5000\n"),
        ({"grep": "^42.$"}, "".join(f"42{digit}\n" for digit in range(10))),
        ({"grep": "^4998$", "context": 1}, "4997\n4998\n4999\n"),
        ({"grep": "^[1-4]", "invert": True, "tail": 2}, "4999\n5000\n"),
        ({"grep": "0{3}$", "tail": 1}, "5000\n"),
        ({"stream": "stderr"}, "Only this: ERROR\n"),
        ({"grep": "error", "ignoreCase": True}, "Only this: ERROR\n"),
        ({"grep": "error"}, ""),
    ],
)
async def test_only_the_part_that_was_asked_for_comes(
    client: Client, options: dict[str, Any], expected: str
) -> None:
    job_id = await finished(client, "seq 1 5000; echo 'Only this: ERROR' >&2")
    if options == {"grep": "^[1-4]", "invert": True, "tail": 2}:
        expected = "5000\nOnly this: ERROR\n"
    page = await ok(client, READ, jobId=job_id, options=options)
    found = [chunk["content"] for chunk in page["output"]]
    if options.get("tail") and "grep" not in options and "stream" not in options:
        expected = "5000\nOnly this: ERROR\n"
    assert "".join(found) == expected


async def test_a_search_goes_on_where_its_page_ended(client: Client) -> None:
    job_id = await finished(client, "seq 1 5000")
    assert await printed(client, job_id, grep="7$", maxBytes=300) == "".join(
        f"{number}\n" for number in range(1, 5001) if number % 10 == 7
    )


async def test_the_newest_page_ends_with_the_last_chunk(client: Client) -> None:
    job_id = await finished(client, "seq 1 5000")
    page = await ok(client, READ, jobId=job_id, options={"latest": True, "maxBytes": 4500})
    assert NUMBERS.endswith(text_of(page)) and 0 < len(text_of(page)) < len(NUMBERS)
    last = (await status(client, job_id))["output"]["lastSequence"]
    assert (page["nextSince"], page["hasMore"]) == (last, False)


async def test_raw_gives_the_bytes_themselves(client: Client) -> None:
    job_id = await finished(client, r"printf '\033[1m\377\000end'")
    page = await ok(client, READ, jobId=job_id, options={"raw": True})
    data = b"".join(base64.b64decode(chunk["content"]) for chunk in page["output"])
    assert data == b"\x1b[1m\xff\x00end"


async def test_a_reader_that_waits_is_told_of_new_output_and_of_the_end(
    client: Client, gate: Gate
) -> None:
    job_id = await start(client, f"echo early; {gate.wait}; echo late")

    async def page_after(cursor: int) -> dict[str, Any]:
        options = {"since": cursor, "waitMs": 60_000}
        return await ok(client, READ, jobId=job_id, options=options)

    async def next_page(cursor: int) -> dict[str, Any]:
        async def news() -> dict[str, Any] | None:
            page = await page_after(cursor)
            return page if page["output"] or page["status"] != "running" else None

        found = await until(news)
        assert found is not None
        return found

    early = await next_page(0)
    assert text_of(early) == "early\n"
    waiting = asyncio.create_task(next_page(early["nextSince"]))
    gate.open()
    late = await waiting
    assert text_of(late) == "late\n"
    end = await next_page(late["nextSince"])
    assert (end["output"], end["status"], end["hasMore"]) == ([], "completed", False)


async def test_what_was_dropped_is_declared_and_the_cursor_goes_on(client: Client) -> None:
    job_id = await finished(client, "seq 1 100000", outputLimitBytes=65_536)
    page = await ok(client, READ, jobId=job_id)
    assert page["droppedBytes"] > 0
    assert page["output"][0]["sequenceNumber"] == page["firstAvailableSequence"] > 1
    text = await printed(client, job_id)
    assert text.endswith("\n99999\n100000\n")
    total = (await status(client, job_id))["output"]["bytes"]
    assert len(text) + page["droppedBytes"] == total


async def test_a_silent_job_has_no_output(client: Client) -> None:
    job_id = await finished(client, "true")
    answer = await client.call(READ, {"jobId": job_id})
    page = answer.structured
    assert (page["output"], page["nextSince"], page["hasMore"]) == ([], 0, False)
    assert page["firstAvailableSequence"] is None
    assert "that is all, the job is over" in answer.text
