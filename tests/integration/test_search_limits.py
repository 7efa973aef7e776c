"""Promise 21: client patterns cannot stall the server, even where linear time is a long time.

A search looks at as much as it has time for, says so, and goes on where it stopped when asked again.
"""

import asyncio

import pytest

from console_automation.app import App
from console_automation.engine import output
from tests.integration.clients import Library
from tests.integration.steps import ok, over, pages, start, status, text_of

READ = "console_get_job_output"


async def test_a_search_keeps_nobody_else_waiting(app: App) -> None:
    """A pattern as hostile as it may be, and meanwhile calls of others are answered."""
    client = Library(app)
    job_id = await start(client, "base64 -w 0 /dev/urandom | head -c 2000000")
    await over(client, job_id)
    options = {"grep": "[A-Za-z0-9+/]*a[A-Za-z0-9+/]{900}!"}
    searching = asyncio.create_task(client.call(READ, {"jobId": job_id, "options": options}))
    answered = 0
    while not searching.done():
        assert (await ok(client, "console_get_job_status", jobId=job_id))["success"]
        answered += 1
        await asyncio.sleep(0)
    assert not (await searching).is_error
    assert answered > 10


async def test_a_search_out_of_time_says_so_and_goes_on_where_it_stopped(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is taken away here, so every call looks at the lines of one chunk."""
    monkeypatch.setattr(output, "_SCAN_SECONDS", 0.0)
    client = Library(app)
    job_id = await start(client, "seq 1 20000")
    await over(client, job_id)
    read = await pages(client, job_id, grep="^1")
    assert len(read) > 10
    whole = {f"{number}" for number in range(1, 20_001) if str(number).startswith("1")}
    assert set(text_of(*read).split()) >= whole
    assert read[-1]["nextSince"] == (await status(client, job_id))["output"]["lastSequence"]
