"""The launcher dies, and cannot be started again at once: jobs wait, and run as soon as it can."""

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
