"""Promise 16: a command that leaves processes behind is reported so, and they are ended or let be."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.conftest import CALM
from tests.integration import portable_launcher
from tests.processes import bearing, is_alive, new_mark, parent_of
from tests.waiting import PATIENCE, until

WAIT_MS = PATIENCE * 1000
#: Wait until the process in the background is no longer the shell that started it.
BEGUN = "until read name < /proc/$!/comm && [ $name = sleep ]; do :; done"


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM, kill_grace_ms=500)


async def run(app: App, script: str, **options: Any) -> dict[str, Any]:
    job_id = await app.start_background_job("sh", ["-c", script], **options)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert "completedAt" in job, job
    return job


async def printed(app: App, job: dict[str, Any]) -> str:
    page = await app.get_background_job_output(job["id"], stream="stdout")
    return "".join(chunk["content"] for chunk in page["output"])


async def test_what_a_command_leaves_behind_is_named_and_ended(app: App) -> None:
    mark = new_mark()
    job = await run(app, f"sleep {mark} & {BEGUN}; echo $!; exit 3")
    pid = int(await printed(app, job))
    assert (job["status"], job["exitCode"]) == ("failed", 3)
    assert job["leftovers"] == [{"pid": pid, "command": f"sleep {mark}", "ended": True}]
    assert not is_alive(pid)


async def test_a_command_that_makes_itself_a_daemon_does_not_slip_away(app: App) -> None:
    mark = new_mark()
    job = await run(app, f"(setsid env -i sleep {mark} <&- >&- 2>&- & {BEGUN}); exit 0")
    assert (job["status"], len(job["leftovers"])) == ("completed", 1)
    assert job["leftovers"][0]["command"] == f"sleep {mark}"
    assert bearing(mark) == []


async def test_what_is_left_has_its_grace_and_its_last_words(app: App) -> None:
    left = "trap 'echo bye; exit' TERM; echo on; while :; do sleep 0.01; done"
    go = "read line; exit 0"
    job_id = await app.start_background_job("sh", ["-c", f"({left}) & {go}"], keep_stdin=True)
    await until(lambda: has_printed(app, job_id, "on"))
    await app.call("console_send_job_input", jobId=job_id, input="go\n")
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert job["status"] == "completed" and await printed(app, job) == "on\nbye\n"


async def has_printed(app: App, job_id: str, text: str) -> bool:
    page = await app.get_background_job_output(job_id)
    return text in "".join(chunk["content"] for chunk in page["output"])


async def test_what_is_left_and_deaf_is_killed(app: App) -> None:
    mark = new_mark()
    job = await run(app, f"trap '' TERM; sleep {mark} & {BEGUN}; exit 0")
    assert [left["ended"] for left in job["leftovers"]] == [True]
    assert bearing(mark) == []


async def test_the_option_lets_them_be(app: App) -> None:
    """Named all the same, and no deadline of the job is theirs."""
    mark = new_mark()
    job = await run(
        app, f"sleep {mark} & {BEGUN}; exit 0", leftovers="leave", timeout=700, idle_timeout=300
    )
    [left] = job["leftovers"]
    pid = left["pid"]
    assert left == {"pid": pid, "command": f"sleep {mark}", "ended": False}
    assert (job["status"], bearing(mark)) == ("completed", [pid])
    await run(app, "sleep 0.8")  # longer than its deadlines were
    await app.call("console_cancel_job", jobId=job["id"])
    await app.call("console_cleanup_jobs", options={"maxAge": 0})
    assert bearing(mark) == [pid]
    shim = parent_of(pid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_alive(shim), "the shim that kept it company to end")


async def test_one_that_goes_on_printing_delays_no_end_and_is_not_ended_by_it(app: App) -> None:
    mark = new_mark()
    job = await run(app, f"for i in 1 2 3 4 5 6; do yes {mark} & done; exit 0", leftovers="leave")
    assert job["status"] == "completed"
    for pid in [left["pid"] for left in job["leftovers"]]:
        before = Path(f"/proc/{pid}/io").read_text()
        await until(lambda pid=pid, before=before: Path(f"/proc/{pid}/io").read_text() != before)
        os.kill(pid, signal.SIGKILL)


async def test_a_cancelled_job_leaves_nothing_whatever_the_option_says(app: App) -> None:
    mark = new_mark()
    script = f"sleep {mark} & sleep {mark}"
    job_id = await app.start_background_job("sh", ["-c", script], leftovers="leave")
    await until(lambda: len(bearing(mark)) == 3)
    await app.call("console_cancel_job", jobId=job_id)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert (job["status"], "leftovers" in job, bearing(mark)) == ("cancelled", False, [])


async def test_on_a_terminal_it_is_the_same_for_those_that_have_left_it(app: App) -> None:
    mark = new_mark()
    left = f"(setsid sleep {mark} <&- >&- 2>&- & {BEGUN}); exit 3"
    job = await run(app, left, terminal={})
    assert (job["status"], job["exitCode"]) == ("failed", 3)
    assert [(each["command"], each["ended"]) for each in job["leftovers"]] == [
        (f"sleep {mark}", True)
    ]
    assert bearing(mark) == []


async def test_on_a_terminal_the_others_are_hung_up(app: App) -> None:
    mark = new_mark()
    job = await run(app, f"sleep {mark} & {BEGUN}; exit 3", terminal={}, leftovers="leave")
    assert (job["status"], job["exitCode"]) == ("failed", 3)
    await until(lambda: bearing(mark) == [], "the end of what was hung up")


async def test_who_does_not_mind_losing_its_terminal_is_let_be(app: App, home: Path) -> None:
    mark = new_mark()
    left = f"trap '' HUP; (while echo on; do sleep 0.01; done; exec sleep {mark}) & exit 3"
    job = await run(app, left, terminal={}, leftovers="leave")
    assert (job["status"], job["exitCode"]) == ("failed", 3)
    await until(lambda: len(bearing(mark)) == 1, "it to go on without its terminal")
    os.kill(bearing(mark)[0], signal.SIGKILL)
    assert "Traceback" not in (home / "daemon.log").read_text()


async def test_without_subreapers_the_group_is_named_and_ended(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_automation.shim.launcher.__file__", portable_launcher.__file__)
    async with open_app(home, settings) as app:
        mark = new_mark()
        job = await run(app, f"sleep {mark} & {BEGUN}; exit 0")
        assert [left["ended"] for left in job["leftovers"]] == [True]
        assert bearing(mark) == []
        job = await run(app, f"sleep {mark} & {BEGUN}; exit 0", leftovers="leave")
        assert [left["ended"] for left in job["leftovers"]] == [False]
        [pid] = bearing(mark)
        os.kill(pid, signal.SIGKILL)
