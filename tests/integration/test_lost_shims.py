"""Promise 6: unknown is said to be unknown. The shim, who alone sees a run's end, is killed.

What it supervised is ended, found by the run's id in the environment; pids on record are not asked.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.adapters.machine import SystemClock
from console_automation.adapters.sweep import VARIABLE, sweep
from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.processes import RUNNER, bearing, is_alive, is_held, new_mark, parent_of
from tests.waiting import PATIENCE, until, until_now

WAIT_MS = PATIENCE * 1000
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


async def started(app: App, script: str, **options: Any) -> dict[str, Any]:
    """Start a job and return it once its command runs and has printed something."""
    job_id = await app.start_background_job("sh", ["-c", f"echo on; {script}"], **options)
    await until(lambda: is_under_way(app, job_id))
    return await app.get_background_job_status(job_id)


async def is_under_way(app: App, job_id: str) -> bool:
    job = await app.get_background_job_status(job_id)
    return "pid" in job and job["output"]["bytes"] > 0


def kill_shim_of(job: dict[str, Any]) -> None:
    os.kill(parent_of(job["pid"]), signal.SIGKILL)


LOST = {"status": "interrupted", "reason": "lost", "exitCode": None}


def verdict(job: dict[str, Any]) -> dict[str, Any]:
    assert "signal" not in job and "completedAt" in job
    return {key: job[key] for key in LOST}


async def test_a_run_whose_shim_is_killed_is_interrupted_and_swept(app: App) -> None:
    mark = new_mark()
    shape = f"sleep {mark} & (setsid sleep {mark} &); trap '' TERM; sleep {mark}; sleep {mark}"
    job = await started(app, shape)
    await until(lambda: len(bearing(mark)) == 4)
    others = [
        stranger_with(f"{VARIABLE}={job['id']}.10"),
        stranger_with(f"X{VARIABLE}={job['id']}.1"),
        stranger_with(f"OTHER={VARIABLE}={job['id']}.1"),
    ]
    kill_shim_of(job)
    ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
    assert verdict(ended) == LOST
    assert bearing(mark) == []
    page = await app.get_background_job_output(job["id"])
    assert [chunk["content"] for chunk in page["output"]] == ["on\n"]
    lived = [other.poll() is None for other in others]
    for other in others:
        other.kill()
        other.wait()
    assert lived == [True] * 3


def stranger_with(variable: str) -> subprocess.Popen[bytes]:
    """Start a stranger with a variable that is not quite that of the run."""
    name, _, value = variable.partition("=")
    return subprocess.Popen(["sleep", new_mark()], env={name: value, "PATH": os.environ["PATH"]})


async def test_the_sweep_catches_a_process_that_forks_and_exits_all_the_time(
    app: App, tmp_path: Path
) -> None:
    lock = str(tmp_path / "lock")
    job = await started(app, f"{sys.executable} -I -S -c '{RUNNER}' {lock}; sleep 1000")
    await until(lambda: is_held(lock))
    kill_shim_of(job)
    ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
    try:
        assert (verdict(ended), is_held(lock)) == (LOST, False)
    finally:
        until_now(lambda: sweep(f"{job['id']}.1") == 0 and not is_held(lock))


def programs_of(mark: str) -> list[str]:
    """Return the names of the processes that have the mark among their arguments."""
    everyone = psutil.process_iter(["name", "cmdline"])
    return [each.info["name"] for each in everyone if mark in (each.info["cmdline"] or ())]


async def test_what_has_emptied_its_environment_is_beyond_the_sweep(app: App) -> None:
    """The known limit: without shim and without mark nothing tells whose process it is."""
    mark = new_mark()
    job = await started(app, f"setsid env -i sleep {mark} & wait")
    await until(lambda: len(bearing(mark)) == 2 and "sleep" in programs_of(mark))
    kill_shim_of(job)
    ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
    assert verdict(ended) == LOST
    [pid] = bearing(mark)
    os.kill(pid, signal.SIGKILL)


async def test_a_loss_is_found_when_the_product_is_opened_again(
    home: Path, settings: Settings
) -> None:
    mark = new_mark()
    async with open_app(home, settings) as app:
        job = await started(app, f"sleep {mark}")
    kill_shim_of(job)
    async with open_app(home, settings) as app:
        ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
        listed = (await app.call("console_list_jobs", options={"status": "interrupted"})).view
    assert verdict(ended) == LOST
    assert [each["id"] for each in listed["jobs"]] == [job["id"]]
    assert bearing(mark) == []


async def test_after_a_reboot_the_reason_is_the_reboot(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_app(home, settings) as app:
        job = await started(app, "sleep 1000")
    kill_shim_of(job)
    os.kill(job["pid"], signal.SIGKILL)
    monkeypatch.setattr(SystemClock, "__init__", lambda clock: setattr(clock, "boot_id", "later"))
    async with open_app(home, settings) as app:
        ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
    assert verdict(ended) == LOST | {"reason": "reboot"}


@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK), reason="needs a say in the next pid")
async def test_whoever_has_the_stored_pid_by_now_is_left_alone(
    home: Path, settings: Settings
) -> None:
    """Promise 15, too: the pid is on record, and its number belongs to a stranger."""
    async with open_app(home, settings) as app:
        job = await started(app, "exec sleep 1000")
    kill_shim_of(job)
    heir = inherit_pid(job["pid"])
    async with open_app(home, settings) as app:
        ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
        await app.call("console_cancel_job", jobId=job["id"], signal="SIGKILL")
    lives = heir.poll() is None
    heir.kill()
    heir.wait()
    assert (verdict(ended), lives) == (LOST, True)


def inherit_pid(pid: int) -> subprocess.Popen[bytes]:
    """End a process and start another that gets its pid."""
    os.kill(pid, signal.SIGKILL)
    until_now(lambda: not os.path.exists(f"/proc/{pid}"))
    for _ in range(100):
        LAST_PID.write_text(str(pid - 1))
        heir = subprocess.Popen(["sleep", new_mark()])
        if heir.pid == pid:
            return heir
        heir.kill()
        heir.wait()
    pytest.skip("other processes took the pid every time")


async def test_a_lost_run_is_repeated_if_the_policy_wants_that(app: App, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    job = await started(
        app,
        f"[ -e {seen} ] && exit 0; touch {seen}; sleep 1000",
        retry={"maxAttempts": 2, "backoffMs": 1, "on": ["lost"]},
    )
    await until(seen.exists)
    kill_shim_of(job)
    ended = await app.get_background_job_status(job["id"], wait_ms=WAIT_MS)
    assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("completed", 0, 2)
    assert not is_alive(job["pid"])


async def test_an_idle_shim_that_is_killed_is_no_loss(app: App, home: Path) -> None:
    """The orders that it was given, but did not live to carry out, go to another."""
    await until(lambda: shims_of(home))
    for _ in range(3):
        for pid in shims_of(home):
            os.kill(pid, signal.SIGKILL)
        job_ids = [await app.start_background_job("true", []) for _ in range(5)]
        for job_id in job_ids:
            job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
            assert (job["status"], job["exitCode"], job["attempt"]) == ("completed", 0, 1)


def shims_of(home: Path) -> list[int]:
    """Return the shims of a state directory: they have their launcher's arguments."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            name, arguments = (process / "comm").read_text(), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if name == "console-shim\n" and f"{home}/".encode() in arguments:
            found.append(int(process.name))
    return found
