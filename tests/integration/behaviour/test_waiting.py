"""Waiting: it ends when the jobs do, or when the server says that a call has waited long enough."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, running, start
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT = "console_wait_for_jobs"
FOREVER = 30 * 86_400_000


async def test_waiting_for_all_ends_with_the_last_and_for_any_with_the_first(
    client: Client, tmp_path: Path
) -> None:
    first, second = Gate(tmp_path / "first"), Gate(tmp_path / "second")
    ids = [await start(client, first.wait), await start(client, second.wait)]
    first.open()

    async def one_is_over() -> bool:
        result = await ok(client, WAIT, jobIds=ids, mode="any")
        return bool(result["unfinished"] == ids[1:])

    await until(one_is_over)
    both = await ok(client, WAIT, jobIds=ids, mode="all", timeout=1)
    assert both["unfinished"] == ids[1:]
    second.open()
    await over(client, ids[1])
    both = await ok(client, WAIT, jobIds=[*ids, ids[0]])
    assert both["unfinished"] == [] and [job["id"] for job in both["jobs"]] == ids


async def test_no_call_waits_longer_than_the_server_lets_it(client: Client, gate: Gate) -> None:
    """The daemon cuts waits at one second here; asked for a month, every call comes back."""
    job_id = await start(client, gate.wait)
    await running(client, job_id)
    asked = {
        "console_execute_async": {"command": gate.wait, "options": {"waitMs": FOREVER}},
        "console_execute_command": {"command": gate.wait, "options": {"timeout": FOREVER}},
        "console_get_job_status": {"jobId": job_id, "waitMs": FOREVER},
        "console_get_job_output": {"jobId": job_id, "options": {"waitMs": FOREVER}},
        "console_wait_for_jobs": {"jobIds": [job_id], "timeout": FOREVER},
    }
    calls = [client.call(tool, arguments) for tool, arguments in asked.items()]
    answers = await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)
    gate.open()
    assert not any(answer.is_error for answer in answers)
    told = [answer.structured.get("status", "running") for answer in answers]
    assert told == ["running"] * 5
    for answer in answers[:2]:
        assert (await over(client, answer.structured["jobId"]))["exitCode"] == 0


async def test_a_job_that_ends_meanwhile_ends_the_wait(client: Client, gate: Gate) -> None:
    job_id = await start(client, gate.wait)
    await running(client, job_id)
    gate.open()

    async def ended() -> bool:
        result = await ok(client, "console_get_job_status", jobId=job_id, waitMs=60_000)
        return bool(result["job"]["status"] == "completed")

    await until(ended)
