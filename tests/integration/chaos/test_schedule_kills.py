"""The daemon dies while schedules fire: each fire is one job all the same.

Promises 1 to 4 for schedules. Every run writes its id, which no other run has, into a file: what the
file says is what has really been run.
"""

import signal
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.chaos.crashing import serve_and_die
from tests.integration.daemons import Daemon, killable
from tests.waiting import until_now

STEPS = ("insert Submitted Picked", "save")
POINTS = [f"{side} {step}" for step in STEPS for side in ("before", "during", "after")]


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    with killable(home, max_concurrent_jobs=10) as running:
        yield running


def start_to_die(daemon: Daemon, point: str) -> None:
    """Have the next daemon be one that dies at a point."""
    daemon.start(partial(serve_and_die, point, daemon.home / "passed"))


def make(daemon: Daemon, **fields: Any) -> None:
    """Make a schedule that fires every second, whose runs write down that they have been."""
    daemon.call(
        "console_create_schedule",
        name="s",
        command=f"echo $CONSOLE_AUTOMATION_RUN >> {daemon.home}/notes",
        trigger={"everyMs": 1000},
        options={"workingDirectory": "/"},
        **fields,
    )


def details(daemon: Daemon) -> dict[str, Any]:
    return daemon.call("console_get_schedule", scheduleId="s", limit=1000)


def check(daemon: Daemon) -> list[dict[str, Any]]:
    """Every run that has been is that of a fire on record, and of no other; return the history."""

    def ended() -> list[dict[str, Any]]:
        history: list[dict[str, Any]] = details(daemon)["history"]
        return history if all(each["status"] == "completed" for each in history) else []

    history = until_now(ended, "the end of every run")
    jobs = [each["jobId"] for each in history]
    assert len(set(jobs)) == len(jobs)
    runs = (daemon.home / "notes").read_text().split()
    assert sorted(run.rpartition(".")[0] for run in runs) == sorted(jobs)
    listed = daemon.call("console_list_jobs", options={"tags": {"schedule": "s"}, "limit": 1000})
    assert {job["id"] for job in listed["jobs"]} == set(jobs)
    return history


@pytest.mark.parametrize("step", STEPS)
def test_daemons_that_die_around_a_fire_repeat_none_and_lose_none(
    daemon: Daemon, step: str
) -> None:
    make(daemon, missed="all", overlap="allow")
    for point in [point for point in POINTS if step in point]:
        daemon.kill()
        start_to_die(daemon, point)
        assert daemon.join() == -signal.SIGKILL
        daemon.start()
    until_now(lambda: len(details(daemon)["history"]) > 1, "two fires")
    daemon.call("console_update_schedule", scheduleId="s", active=False)
    history = check(daemon)
    moments = [datetime.fromisoformat(each["at"]).timestamp() for each in history]
    assert all(round(new - old, 3) == 1 for new, old in pairwise(moments))


@pytest.mark.parametrize("point", POINTS)
def test_a_request_to_run_now_that_is_repeated_after_a_death_is_one_job(
    daemon: Daemon, point: str
) -> None:
    make(daemon, active=False)
    daemon.kill()
    start_to_die(daemon, point)
    asked = {"scheduleId": "s", "idempotencyKey": "k"}
    with pytest.raises(DaemonUnavailable):
        daemon.call("console_trigger_schedule", **asked)
    assert daemon.join() == -signal.SIGKILL
    daemon.start()
    job = daemon.call("console_trigger_schedule", **asked)["jobId"]
    assert [each["jobId"] for each in check(daemon)] == [job]


def test_a_schedule_that_was_acknowledged_is_there_and_fires_under_the_next_daemon(
    daemon: Daemon,
) -> None:
    make(daemon, missed="once")
    daemon.restart()
    until_now(lambda: details(daemon)["history"], "the first fire")
    daemon.call("console_update_schedule", scheduleId="s", active=False)
    daemon.restart()
    assert details(daemon)["schedule"]["active"] is False
    check(daemon)
