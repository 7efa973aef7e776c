"""The launcher dies, and cannot be started again at once: jobs wait, and run as soon as it can."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from console_automation.adapters.launcher import Launcher
from console_automation.app import App, open_app
from console_automation.config import Settings
from console_automation.errors import Unavailable
from tests.waiting import PATIENCE, until


async def test_a_launcher_that_cannot_be_started_again_is_tried_until_it_can(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, failures = Launcher._start, [OSError(11, "no more processes")] * 2

    async def start_later(launcher: Launcher) -> None:
        if failures:
            raise failures.pop()
        await start(launcher)

    monkeypatch.setattr(Launcher, "_start", start_later)
    host = app.engine.jobs.host
    await until(lambda: host.capacity["idle"] > 0, "the first shims")
    os.kill(host._launcher._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    await until(lambda: not failures, "both failures")
    jobs = [await app.start_background_job("exit 7") for _ in range(30)]
    for job in jobs:
        ended = await app.get_background_job_status(job, wait_ms=PATIENCE * 1000)
        assert ended["exitCode"] == 7


async def test_an_engine_that_cannot_listen_for_shims_says_so_and_leaves_nothing_open(
    home: Path, settings: Settings
) -> None:
    (home / "run").mkdir(mode=0o700)
    (home / "run" / "shims.sock").mkdir()  # nobody can put a socket there
    with pytest.raises(Unavailable, match="Jobs cannot be run"):
        async with open_app(home, settings):
            pass
    (home / "run" / "shims.sock").rmdir()
    async with open_app(home, settings) as app:
        assert (await app.get_background_job_metrics())["totalJobs"] == 0


async def test_a_reader_of_a_run_that_waits_for_a_shim_waits_with_it(app: App) -> None:
    host = app.engine.jobs.host
    await until(lambda: host.capacity["idle"] > 0, "the first shims")
    launcher = host._launcher._process.pid  # type: ignore[attr-defined]
    jobs: list[str] = []
    os.kill(launcher, signal.SIGSTOP)
    try:
        while not host._waiting:  # type: ignore[attr-defined]
            jobs.append(await app.start_background_job("echo at last; sleep 600"))
        news = asyncio.ensure_future(host.wait_for_output(f"{jobs[-1]}.1", after=0))
        await app.call("console_get_job_metrics")  # asks the store: the loop goes round
        assert not news.done()
    finally:
        os.kill(launcher, signal.SIGCONT)
    await asyncio.wait_for(news, PATIENCE)
    page = await app.get_background_job_output(jobs[-1], wait_ms=PATIENCE * 1000)
    assert page["output"][0]["content"] == "at last\n"
    for job in jobs:
        await app.call("console_cancel_job", jobId=job)
