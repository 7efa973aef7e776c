"""Promises 14 and 15: whatever shape a command has and however it is ended, nothing of it is left.

Every process of a shape bears its mark, a number, in its arguments; the environment may be emptied.
As soon as a job's end can be seen, no process with its mark may be alive, and every bystander must.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.conftest import CALM
from tests.integration import portable_launcher
from tests.integration.zoo import Zoo
from tests.processes import RUNNER, is_alive, is_held
from tests.waiting import PATIENCE, until

WAIT_MS = PATIENCE * 1000
DEADLINE_MS = 1000
TERMINAL: dict[str, Any] = {"terminal": {}}

#: Shell lines by shape, with the number of processes that come to bear the mark.
IN_THE_GROUP = {
    "plain": ("exec sleep {mark}", 1),
    "sequence": ("sleep {mark}; sleep {mark}", 2),
    "pipeline": ("sleep {mark} | sleep {mark} | sleep {mark}", 4),
    "bash -c": ("bash -c 'sleep {mark}; true'; true", 3),
    "background child": ("sleep {mark} & sleep {mark} & wait", 3),
    "orphan": ("(sleep {mark} &); sleep {mark}", 3),
    "nohup": ("nohup sleep {mark} > /dev/null 2>&1 & wait", 2),
    "deaf": ("trap '' TERM HUP INT; sleep {mark}; sleep {mark}; sleep {mark}", 2),
    "stopped": ("sleep {mark} & kill -STOP $!; kill -STOP $$; sleep {mark}", 2),
    "many": ("for i in 1 2 3 4 5 6 7 8 9 10; do sleep {mark} & done; wait", 11),
}
OUTSIDE = {
    "timeout": ("timeout 100 sleep {mark}; true", 3),
    "own session": ("setsid sleep {mark} & wait", 2),
    "double fork": ("(setsid sh -c 'sleep {mark} & sleep {mark}' &); sleep {mark}", 5),
    "hidden daemon": ("(setsid env -i sleep {mark} <&- >&- 2>&- &); sleep {mark}", 3),
    "deaf and stopped": ("setsid sh -c 'trap \"\" TERM; kill -STOP $$' {mark} & wait", 2),
}
EVERYWHERE = IN_THE_GROUP | OUTSIDE


@dataclass
class Jobs(Zoo):
    """A job of every shape."""

    ids: dict[str, str] = field(default_factory=dict)

    async def fill(self, **options: Any) -> None:
        """Start a job of every shape, and a stranger that does the same as one of their processes."""
        for name in self.shapes:
            script = self.line(name)
            job_id = await self.app.start_background_job("sh", ["-c", script], **options)
            self.ids[name] = job_id
            self.add_stranger(name, f"{job_id}.10")

    async def ends(self) -> dict[str, tuple[str, str | None]]:
        """Return status and reason of each job, having looked for survivors at the moment it ended."""

        async def end(name: str) -> tuple[str, tuple[str, str | None]]:
            job = await self.app.get_background_job_status(self.ids[name], wait_ms=WAIT_MS)
            assert name not in self.alive(), f"{name} is {job['status']}, but still alive"
            return name, (job["status"], job.get("reason"))

        return dict(await asyncio.gather(*map(end, self.shapes)))


async def cancel(zoo: Jobs) -> None:
    await asyncio.gather(
        *(zoo.app.call("console_cancel_job", jobId=job_id) for job_id in zoo.ids.values())
    )


async def stop_the_daemon(zoo: Jobs) -> None:
    await zoo.app.engine.jobs.stop_all(grace=0.2)


async def wait(zoo: Jobs) -> None:
    """The deadline ends them."""


WAYS: dict[str, tuple[dict[str, Any], Callable[[Jobs], Awaitable[None]], tuple[str, str]]] = {
    "cancel": ({}, cancel, ("cancelled", "cancelled")),
    "stopping the daemon": ({}, stop_the_daemon, ("cancelled", "cancelled")),
    "timeout": ({"timeout": DEADLINE_MS}, wait, ("failed", "timeout")),
    "idle timeout": ({"idle_timeout": DEADLINE_MS}, wait, ("failed", "idle_timeout")),
    "cancel, on a terminal": (TERMINAL, cancel, ("cancelled", "cancelled")),
    "timeout, on a terminal": ({"timeout": DEADLINE_MS, **TERMINAL}, wait, ("failed", "timeout")),
}


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM, max_concurrent_jobs=100, kill_grace_ms=200)


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_a_job_is_left(app: App, zoos: list[Zoo], way: str) -> None:
    options, end, expected = WAYS[way]
    zoo = Jobs(app, EVERYWHERE)
    zoos.append(zoo)
    await zoo.fill(**options)
    if end is not wait:
        await zoo.until_grown()
    await end(zoo)
    assert await zoo.ends() == dict.fromkeys(EVERYWHERE, expected)


@pytest.mark.parametrize("way", ["cancel", "timeout"])
async def test_nothing_in_its_group_is_left_where_there_are_no_subreapers(
    home: Path, settings: Settings, zoos: list[Zoo], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The portable promise; what leaves the group is out of reach there, as the documents say."""
    monkeypatch.setattr("console_automation.shim.launcher.__file__", portable_launcher.__file__)
    options, end, expected = WAYS[way]
    async with open_app(home, settings) as app:
        zoo = Jobs(app, IN_THE_GROUP)
        zoos.append(zoo)
        await zoo.fill(**options)
        if end is not wait:
            await zoo.until_grown()
        await end(zoo)
        assert await zoo.ends() == dict.fromkeys(IN_THE_GROUP, expected)


@pytest.mark.parametrize("way", ["cancel", "timeout"])
async def test_a_runner_does_not_get_away(app: App, tmp_path: Path, way: str) -> None:
    """One that forks and exits every two milliseconds."""
    options, _, (status, _) = WAYS[way]
    lock = str(tmp_path / "lock")
    args = ["-c", f"{sys.executable} -I -S -c '{RUNNER}' {lock}; sleep 1000"]
    job_id = await app.start_background_job("sh", args, **options)
    if way == "cancel":
        await until(lambda: is_held(lock))
        await app.call("console_cancel_job", jobId=job_id)
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert (job["status"], is_held(lock)) == (status, False)


async def test_ending_one_job_leaves_another_alone(app: App) -> None:
    """Promise 15: two jobs of one session with the very same command."""
    job_ids = [await app.start_background_job("sleep 1000 & wait") for _ in range(2)]
    await until(lambda: all_begun(app, job_ids))
    await app.call("console_cancel_job", jobId=job_ids[0], signal="SIGKILL")
    other = await app.get_background_job_status(job_ids[1])
    assert (other["status"], is_alive(other["pid"])) == ("running", True)
    await app.call("console_cancel_job", jobId=job_ids[1])


async def all_begun(app: App, job_ids: list[str]) -> bool:
    return all(["pid" in await app.get_background_job_status(job_id) for job_id in job_ids])


async def test_the_signal_that_was_asked_for_comes_first(app: App) -> None:
    """It reaches the whole tree; whoever handles it in time may end its own way."""
    script = "trap 'echo usr1; exit 5' USR1; echo on; while :; do sleep 0.01; done"
    job_id = await app.start_background_job(script)
    await until(lambda: has_printed(app, job_id))
    await app.call("console_cancel_job", jobId=job_id, signal="SIGUSR1", graceMs=WAIT_MS)
    job = await app.get_background_job_status(job_id)
    page = await app.get_background_job_output(job_id, stream="stdout")
    assert (job["status"], job["exitCode"]) == ("cancelled", 5)
    assert "".join(chunk["content"] for chunk in page["output"]) == "on\nusr1\n"


async def has_printed(app: App, job_id: str) -> bool:
    return bool((await app.get_background_job_output(job_id))["output"])
