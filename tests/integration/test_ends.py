"""How jobs end when much happens at once: one end each, the same everywhere, and nothing missing."""

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from console_automation.engine.feed import Change
from tests.conftest import CALM
from tests.processes import is_alive, parent_of
from tests.waiting import PATIENCE, until

WAIT_MS = PATIENCE * 1000
TIMES = 1000
AT_ONCE = 30


@pytest.fixture
def home() -> Iterator[Path]:
    """In memory where that is possible: a disk takes longer to delete a thousand runs than they ran."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="ca-", dir=shared) as path:
        yield Path(path)


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM, max_concurrent_jobs=20, kill_grace_ms=100)


async def all_of(work: Any) -> list[Any]:
    """Do the work for the numbers up to TIMES, some of them at once."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Any:
        async with turn:
            return await work(number)

    return await asyncio.gather(*map(one, range(TIMES)))


async def test_output_is_complete_as_soon_as_the_end_can_be_seen(app: App) -> None:
    """Promise 8: print and exit at once, a thousand times."""

    async def print_and_exit(number: int) -> None:
        lines = 5000 if number % 10 == 0 else 1
        script = f"seq {lines}; echo error >&2; printf %s {number}"
        job_id = await app.start_background_job("sh", ["-c", script])
        job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
        assert job["status"] == "completed", job
        page = await app.get_background_job_output(job_id, max_bytes=1 << 20)
        text = {"stdout": "", "stderr": ""}
        for chunk in page["output"]:
            text[chunk["type"]] += chunk["content"]
        expected = "".join(f"{line}\n" for line in range(1, lines + 1)) + str(number)
        assert text == {"stdout": expected, "stderr": "error\n"}
        assert (page["hasMore"], page["droppedBytes"]) == (False, 0)
        assert job["output"]["bytes"] == len(expected) + len("error\n")

    await all_of(print_and_exit)


PRINTER = """
import fcntl, os, time
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
while not os.path.exists("{go}"): time.sleep(0.005)
os.write(1, bytes(1 << 20))
"""


async def test_what_a_pipe_still_holds_at_the_end_is_read(app: App, tmp_path: Path) -> None:
    """Promise 8: more than one read of it, by a shim that looks only when all is over."""
    go = tmp_path / "go"
    program = PRINTER.format(go=go)
    job_id = await app.start_background_job(sys.executable, ["-S", "-c", program])
    job = await until(lambda: begun(app, job_id))
    shim = parent_of(job["pid"])
    os.kill(shim, signal.SIGSTOP)
    go.touch()
    await until(lambda: not is_alive(job["pid"]))
    os.kill(shim, signal.SIGCONT)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert (job["status"], job["output"]["bytes"]) == ("completed", 1 << 20)


async def begun(app: App, job_id: str) -> dict[str, Any] | None:
    job = await app.get_background_job_status(job_id)
    return job if "pid" in job else None


class Race:
    """Starts a job that may end in three ways at once, and remembers what was said of it."""

    def __init__(self, app: App, marks: Path) -> None:
        self.app = app
        self.marks = marks
        self.ends: dict[str, list[str]] = {}
        app.engine.jobs.ledger.feed.listen(self._hear)
        self._random = random.Random(8)

    def _hear(self, change: Change) -> None:
        if change.after.is_terminal:
            self.ends.setdefault(change.after.id, []).append(change.after.status)

    async def run(self, number: int) -> str:
        # Some take their time, so that a busy machine does not decide every race the same way.
        length = 1.0 if number % 10 == 0 else 0.04
        end, limit, cancel = (self._random.uniform(0.001, length) for _ in range(3))
        script = f"echo $CONSOLE_AUTOMATION_RUN >> {self.marks}; sleep {end:.3f}"
        job_id = await self.app.start_background_job("sh", ["-c", script], timeout=limit * 1000)
        cancelling = asyncio.create_task(self._cancel(job_id, cancel))
        job = await self.app.get_background_job_status(job_id, wait_ms=WAIT_MS)
        answer = await cancelling
        again = await self.app.get_background_job_status(job_id)
        assert again == job
        if answer["status"] != "running":
            assert answer["status"] == job["status"]
            assert answer["cancelled"] is (job["status"] == "cancelled")
        return job_id

    async def _cancel(self, job_id: str, after: float) -> Any:
        await asyncio.sleep(after)  # not to wait for anything: to be early, late, or just in time
        return (await self.app.call("console_cancel_job", jobId=job_id)).view


async def statuses(app: App) -> dict[str, str]:
    """Return the status of every job as listing shows it."""
    found: dict[str, str] = {}
    options: dict[str, Any] = {"limit": 1000}
    while True:
        page = (await app.call("console_list_jobs", options=options)).view
        found |= {job["id"]: job["status"] for job in page["jobs"]}
        if "nextCursor" not in page:
            return found
        options["cursor"] = page["nextCursor"]


async def test_a_job_has_one_end_whoever_comes_first(
    home: Path, settings: Settings, tmp_path: Path
) -> None:
    """Promise 7: cancel, exit and timeout raced a thousand times."""
    marks = tmp_path / "marks"
    async with open_app(home, settings) as app:
        race = Race(app, marks)
        job_ids = await all_of(race.run)
        listed = await statuses(app)
        assert race.ends == {job_id: [listed[job_id]] for job_id in job_ids}
        stories = {job_id: await app.engine.jobs.ledger.store.journal(job_id) for job_id in job_ids}
    ran = {line.rpartition(".")[0] for line in marks.read_text().split()}
    reasons = Counter[str]()
    for job_id, story in stories.items():
        reasons[agreed(listed[job_id], story, has_run=job_id in ran)] += 1
    assert set(reasons) >= {"exit", "timeout", "cancel"}, reasons
    async with open_app(home, settings) as app:
        assert await statuses(app) == listed


def agreed(status: str, story: list[Any], *, has_run: bool) -> str:
    """Return what ended a job by its journal, which must agree with its status."""
    events = [entry.event for entry in story]
    ends = [entry for entry in story if entry.event == "Exited"]
    if not ends:
        before_its_turn, before_its_start = ["CancelRequested"], ["Picked", "CancelRequested"]
        assert events in (
            ["Submitted", *before_its_turn],
            ["Submitted", *before_its_start, "NotStarted"],
        )
        assert (status, has_run) == ("cancelled", False)
        return "never ran"
    assert events[-1] == "Exited" and len(ends) == 1 and events.count("CancelRequested") <= 1
    cause, code = ends[0].data["cause"], ends[0].data["code"]
    expected = {"exit": "completed" if code == 0 else "failed", "timeout": "failed"}
    assert status == expected.get(cause, "cancelled"), events
    return str(cause)


async def test_a_cancelled_pending_job_never_runs(home: Path, tmp_path: Path) -> None:
    """Promise 7: nor does it flip to anything else when its turn would have come."""
    settings = Settings(**CALM, max_concurrent_jobs=1)
    mark = tmp_path / "mark"
    async with open_app(home, settings) as app:
        first = await app.start_background_job("cat", [], keep_stdin=True)
        second = await app.start_background_job("touch", [str(mark)])
        third = await app.start_background_job("true", [])
        answer = (await app.call("console_cancel_job", jobId=second)).view
        assert (answer["cancelled"], answer["status"]) == (True, "cancelled")
        await until(lambda: finished_input(app, first))
        assert (await app.get_background_job_status(third, wait_ms=WAIT_MS))["exitCode"] == 0
        job = await app.get_background_job_status(second)
    assert (job["status"], job["exitCode"], "startedAt" in job) == ("cancelled", None, False)
    assert not mark.exists()


async def test_a_job_that_is_cancelled_at_once_ends_at_once(app: App) -> None:
    """Promise 7: the cancel reaches the shim together with the order."""

    async def start_and_cancel() -> str:
        job_id = await app.start_background_job("sleep", ["1000"])
        answer = await app.call("console_cancel_job", jobId=job_id)
        return str(answer.view["status"])

    for _ in range(5):
        answers = await asyncio.gather(*(start_and_cancel() for _ in range(10)))
        assert set(answers) == {"cancelled"}


async def finished_input(app: App, job_id: str) -> bool:
    answer = await app.call("console_send_job_input", jobId=job_id, input="", eof=True)
    return not answer.is_error


async def test_cancelling_what_is_over_changes_nothing(app: App) -> None:
    """Promise 7."""
    job_id = await app.start_background_job("sh", ["-c", "exit 3"])
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    for _ in range(2):
        answer = (await app.call("console_cancel_job", jobId=job_id, signal="SIGKILL")).view
        assert (answer["success"], answer["cancelled"], answer["status"]) == (True, False, "failed")
    assert await app.get_background_job_status(job_id) == job
