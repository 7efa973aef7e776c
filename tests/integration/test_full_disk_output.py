"""Promise 13: a full disk under the run directories kills no job, loses no exit code and heals by itself.

The disk is a small tmpfs of the test's own, filled to the last byte.
"""

from pathlib import Path
from typing import Any

import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.integration.conftest import Disk
from tests.processes import is_alive
from tests.waiting import PATIENCE, until, until_now

WAIT_MS = PATIENCE * 1000


@pytest.fixture
async def app(home: Path, settings: Settings, disk: Disk) -> Any:
    async with open_app(home, settings) as opened:
        yield opened


async def printed(app: App, job_id: str) -> str:
    page = await app.get_background_job_output(job_id, max_bytes=1 << 20)
    return "".join(chunk["content"] for chunk in page["output"])


async def has_come_to(app: App, job_id: str, count: int) -> bool:
    job = await app.get_background_job_status(job_id)
    return bool(job["output"]["bytes"] == count)


async def go_on(app: App, job_id: str) -> None:
    answer = await app.call("console_send_job_input", jobId=job_id, input="go on\n")
    assert not answer.is_error, answer


async def test_a_job_goes_on_what_is_lost_is_declared_and_it_heals(app: App, disk: Disk) -> None:
    earlier = await app.start_background_job("echo kept by an earlier job")
    await app.get_background_job_status(earlier, wait_ms=WAIT_MS)
    lost = "".join(f"{number}\n" for number in range(1, 20_001))
    script = "echo before; read x; seq 20000; read x; echo after; exit 7"
    job_id = await app.start_background_job("sh", ["-c", script], keep_stdin=True)
    await until(lambda: has_come_to(app, job_id, len("before\n")))
    disk.fill()
    await go_on(app, job_id)
    await until(lambda: has_come_to(app, job_id, len("before\n" + lost)))
    disk.free()
    await go_on(app, job_id)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    text, counts = await printed(app, job_id), job["output"]
    assert (job["status"], job["exitCode"]) == ("failed", 7)
    assert text.startswith("before\n") and text.endswith("after\n")
    assert counts["bytes"] == len("before\n" + lost + "after\n")
    assert counts["droppedBytes"] == counts["bytes"] - len(text) > len(lost) // 2
    page = await app.get_background_job_output(job_id, max_bytes=1 << 20)
    numbers = [chunk["sequenceNumber"] for chunk in page["output"]]
    assert numbers[0] == 1 and numbers[-1] == counts["lastSequence"] > len(numbers)
    assert await printed(app, earlier) == "kept by an earlier job\n"


async def test_a_job_that_prints_to_a_full_disk_alone_loses_its_output_and_nothing_else(
    app: App, disk: Disk
) -> None:
    script = "read x; seq 20000; seq 20000 >&2; exit 42"
    job_id = await app.start_background_job("sh", ["-c", script], keep_stdin=True)
    await until(lambda: has_begun(app, job_id))
    disk.fill()
    await go_on(app, job_id)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert (job["status"], job["reason"], job["exitCode"]) == ("failed", "exit_code", 42)
    assert job["output"]["droppedBytes"] == job["output"]["bytes"] == 2 * 108_894
    assert await printed(app, job_id) == ""


async def has_begun(app: App, job_id: str) -> bool:
    return "pid" in await app.get_background_job_status(job_id)


async def test_the_exit_code_is_kept_though_nobody_listens_and_nothing_can_be_written(
    home: Path, settings: Settings, disk: Disk, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"until [ -e {go} ]; do sleep 0.01; done; seq 20000; exit 42"
    async with open_app(home, settings) as app:
        job_id = await app.start_background_job("sh", ["-c", script])
        await until(lambda: has_begun(app, job_id))
        pid = (await app.get_background_job_status(job_id))["pid"]
    disk.fill()
    go.touch()
    until_now(lambda: not is_alive(pid))
    async with open_app(home, settings) as app:
        job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert (job["status"], job["exitCode"]) == ("failed", 42)
    assert job["output"]["bytes"] == 108_894


async def test_a_run_that_finds_no_room_waits_says_why_and_starts_when_there_is(
    app: App, disk: Disk
) -> None:
    disk.fill()
    job_id = await app.start_background_job("echo", ["at last"])
    job = await until(lambda: refused(app, job_id))
    assert (job["status"], job["attempt"]) == ("pending", 0)
    disk.free()
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert (job["status"], job["attempt"]) == ("completed", 1)
    assert await printed(app, job_id) == "at last\n"


async def refused(app: App, job_id: str) -> dict[str, Any] | None:
    job = await app.get_background_job_status(job_id)
    return job if "No space left" in job.get("waitingFor", "") else None
