"""Promise 9: repetitions and timeouts follow their model while daemons die."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import Daemon, killable
from tests.processes import bearing, is_alive, new_mark
from tests.waiting import until_now

IN_AN_HOUR = {"maxAttempts": 2, "backoffMs": 3_600_000, "maxBackoffMs": 3_600_000}


def noting(daemon: Daemon, then: str) -> str:
    """A command that leaves a line for every attempt."""
    return f"echo $CONSOLE_AUTOMATION_RUN >> {daemon.home}/notes; {then}"


def attempts_made(daemon: Daemon) -> int:
    notes = (daemon.home / "notes").read_text().split()
    assert len(notes) == len(set(notes))
    return len(notes)


def test_an_attempt_that_fails_while_no_daemon_runs_is_repeated_by_the_next(home: Path) -> None:
    with killable(home) as daemon:
        retry = {"maxAttempts": 3, "backoffMs": 1}
        job = daemon.submit(noting(daemon, f"{daemon.gate.wait}; exit 3"), retry=retry)
        pid = daemon.running(job)["pid"]
        daemon.kill()
        daemon.gate.open()
        until_now(lambda: not is_alive(pid), "the end of the first attempt")
        daemon.start()
        over = daemon.over(job)
        assert (over["status"], over["exitCode"], over["attempt"]) == ("failed", 3, 3)
        assert attempts_made(daemon) == 3


def test_a_repetition_that_came_due_while_no_daemon_ran_begins_with_the_next(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit(noting(daemon, "exit 3"), retry=IN_AN_HOUR)
        until_now(lambda: "next one begins in" in waiting_for(daemon, job), "the back-off")
        daemon.kill()
        an_hour_passes(home)
        daemon.start()
        over = daemon.over(job)
        assert (over["status"], over["exitCode"], over["attempt"]) == ("failed", 3, 2)
        assert attempts_made(daemon) == 2


def an_hour_passes(home: Path) -> None:
    """Move what is due in an hour to now; the clock itself cannot be moved."""
    with closing(sqlite3.connect(home / "jobs.db")) as database, database:
        earlier = "json_set(state, '$.not_before', json_extract(state, '$.not_before') - 3600)"
        database.execute(f"UPDATE job SET state = {earlier}")


def test_a_restart_neither_shortens_nor_forgets_a_back_off(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit(noting(daemon, "exit 3"), retry=IN_AN_HOUR)
        for _ in range(3):
            until_now(lambda: "next one begins in" in waiting_for(daemon, job), "the back-off")
            daemon.restart()
        assert daemon.job(job)["attempt"] == attempts_made(daemon) == 1
        daemon.cancel(job)
        daemon.restart()
        assert daemon.job(job)["status"] == "cancelled"
        assert attempts_made(daemon) == 1


def waiting_for(daemon: Daemon, job: str) -> str:
    why: str = daemon.job(job).get("waitingFor", "")
    return why


def test_a_job_that_is_repeated_through_many_restarts_makes_exactly_its_attempts(
    home: Path,
) -> None:
    with killable(home) as daemon:
        retry = {"maxAttempts": 6, "backoffMs": 50, "backoffMultiplier": 1}
        job = daemon.submit(noting(daemon, "echo again; exit 3"), retry=retry)
        for made in range(1, 6):
            until_now(lambda made=made: daemon.job(job)["attempt"] >= made, f"attempt {made}")
            daemon.restart()
        over = daemon.over(job)
        assert (over["exitCode"], over["attempt"], over["maxAttempts"]) == (3, 6, 6)
        assert attempts_made(daemon) == 6
        assert daemon.output(job) == "again\n"


@pytest.mark.parametrize("by", ["daemon up", "daemon down"])
@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"timeout": 500}, "timeout"), ({"idleTimeout": 500}, "idle_timeout")],
    ids=["timeout", "idle timeout"],
)
def test_a_timeout_ends_the_whole_job_whether_or_not_a_daemon_runs(
    home: Path, by: str, limits: dict[str, Any], reason: str
) -> None:
    mark = new_mark()
    with killable(home) as daemon:
        job = daemon.submit(f"echo begun; setsid sleep {mark} & sleep {mark}", **limits)
        until_now((home / "runs" / f"{job}.1" / "output.1").exists, "the command")
        if by == "daemon down":
            daemon.kill()
            until_now(lambda: not bearing(mark), "the end of every process")
            daemon.start()
        over = daemon.over(job)
        assert (over["status"], over["reason"], over["exitCode"]) == ("failed", reason, None)
        assert over["durationMs"] >= 500
        assert daemon.output(job) == "begun\n"
        assert not bearing(mark)


def test_a_timed_out_attempt_is_repeated_with_its_whole_time(home: Path) -> None:
    with killable(home) as daemon:
        retry = {"maxAttempts": 2, "backoffMs": 1}
        job = daemon.submit(noting(daemon, "sleep 1000"), timeout=300, retry=retry)
        until_now(lambda: daemon.job(job)["attempt"] == 2, "the second attempt")
        daemon.restart()
        over = daemon.over(job)
        assert (over["reason"], over["attempt"]) == ("timeout", 2)
        assert over["durationMs"] >= 300
        assert attempts_made(daemon) == 2
