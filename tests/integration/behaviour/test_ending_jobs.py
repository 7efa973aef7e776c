"""Cancelling, running again, feeding what takes no food, and cleaning up."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, printed, refused, running, start, status
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANCEL = "console_cancel_job"


async def test_a_cancelled_job_is_gone_with_everything_it_started(client: Client) -> None:
    job_id = await start(client, "(sleep 600 & echo $!; sleep 600) & wait")
    child = int(await until(lambda: printed(client, job_id)))
    result = await ok(client, CANCEL, jobId=job_id)
    assert (result["cancelled"], result["status"]) == (True, "cancelled")
    assert "None of its processes is left" in result["message"]
    assert not os.path.exists(f"/proc/{child}")
    job = await status(client, job_id)
    assert (job["status"], job["reason"], job["exitCode"]) == ("cancelled", "cancelled", None)


async def test_a_cancelled_job_that_was_waiting_never_runs(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    first = await start(client, gate.wait)
    waiting = await start(client, f"touch {mark}", dependsOn=[first])
    result = await ok(client, CANCEL, jobId=waiting)
    assert (result["cancelled"], result["status"]) == (True, "cancelled")
    gate.open()
    await over(client, first)
    assert (await status(client, waiting))["status"] == "cancelled"
    assert not mark.exists()


async def test_a_finished_job_is_left_as_it_is(client: Client) -> None:
    job = await over(client, await start(client, "exit 3"))
    result = await ok(client, CANCEL, jobId=job["id"])
    assert (result["cancelled"], result["status"]) == (False, "failed")
    assert "was over already" in result["message"]
    assert await status(client, job["id"]) == job


async def test_the_signal_asked_for_is_sent_and_what_ignores_it_is_killed(client: Client) -> None:
    polite = await start(
        client, "trap 'echo asked; exit 0' USR1; echo up; while :; do sleep 0.01; done"
    )
    stubborn = await start(client, "trap '' TERM; echo up; while :; do sleep 0.01; done")
    for job_id, options, signal in (
        (polite, {"signal": "SIGUSR1", "graceMs": 20_000}, None),
        (stubborn, {"graceMs": 1}, "SIGKILL"),
    ):
        await until(lambda job_id=job_id: printed(client, job_id))  # type: ignore[misc]
        assert (await ok(client, CANCEL, jobId=job_id, **options))["cancelled"] is True
        job = await over(client, job_id)
        assert (job["status"], job.get("signal")) == ("cancelled", signal)
    assert "asked" in await printed(client, polite)


async def test_cancelling_what_does_not_exist_cancels_nothing(client: Client) -> None:
    error = await refused(client, CANCEL, jobId="job-unknown")
    assert (error["success"], error["cancelled"], error["code"]) == (False, False, "JOB_NOT_FOUND")


async def test_running_again_makes_a_new_job_and_keeps_the_old_one(
    client: Client, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    old = await over(
        client, await start(client, f"echo x >> {log}; exit 3", name="again", tags={"a": "b"})
    )
    new = await over(client, (await ok(client, "console_retry_job", jobId=old["id"]))["jobId"])
    assert new["id"] != old["id"] and new["retryOf"] == old["id"]
    assert (new["command"], new["name"], new["tags"]) == (old["command"], "again", {"a": "b"})
    assert (new["exitCode"], log.read_text()) == (3, "x\nx\n")
    assert await status(client, old["id"]) == old


async def test_what_is_not_over_can_be_neither_run_again_nor_fed_without_its_consent(
    client: Client, gate: Gate
) -> None:
    job_id = await start(client, gate.wait)
    await running(client, job_id)
    error = await refused(client, "console_retry_job", jobId=job_id)
    assert (error["code"], error["details"]["status"]) == ("CONFLICT", "running")
    error = await refused(client, "console_send_job_input", jobId=job_id, input="x")
    assert error["code"] == "CONFLICT" and "keepStdin" in error["error"]
    gate.open()
    await over(client, job_id)
    error = await refused(client, "console_send_job_input", jobId=job_id, input="x")
    assert (error["code"], error["details"]["status"]) == ("CONFLICT", "completed")


async def test_cleaning_up_removes_what_is_over_and_never_anything_else(
    client: Client, gate: Gate
) -> None:
    await ok(client, "console_cleanup_jobs", options={"maxAge": 0})
    others = (await ok(client, "console_list_jobs"))["total"]  # the daemon is everybody's
    live = await start(client, gate.wait)
    waiting = await start(client, "true", dependsOn=[live])
    done = []
    for command in ("echo oldest", "exit 1", "echo newest"):
        done.append(await start(client, command))
        await over(client, done[-1])
    cleanup: Any = "console_cleanup_jobs"
    assert (await ok(client, cleanup))["cleaned"] == 0
    await ok(client, cleanup, options={"maxAge": 0, "statuses": ["failed"]})
    error = await refused(client, "console_get_job_status", jobId=done[1])
    assert error["code"] == "JOB_NOT_FOUND"
    await ok(client, cleanup, options={"maxAge": 0, "keepCount": 1})
    await refused(client, "console_get_job_status", jobId=done[0])
    assert await printed(client, done[2]) == "newest\n"
    result = await ok(client, cleanup, options={"maxAge": 0})
    assert (result["cleaned"], result["remaining"]) == (1, 2 + others)
    await refused(client, "console_get_job_output", jobId=done[2])
    gate.open()
    for job_id in (live, waiting):
        assert (await over(client, job_id))["status"] == "completed"


@pytest.mark.parametrize("missing", ["console_retry_job", "console_get_job_status"])
async def test_a_job_that_was_cleaned_up_is_unknown(client: Client, missing: str) -> None:
    job = await over(client, await start(client, "true"))
    await ok(client, "console_cleanup_jobs", options={"maxAge": 0})
    assert (await refused(client, missing, jobId=job["id"]))["code"] == "JOB_NOT_FOUND"
