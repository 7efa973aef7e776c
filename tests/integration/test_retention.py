"""Finished jobs past their time go with everything that was kept for them; live ones never do."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from console_automation.errors import JobNotFound
from tests.integration.daemons import Daemon, killable
from tests.integration.servers import configure
from tests.waiting import until_now

FINISHED = {"completed": "echo out", "failed": "echo out; exit 1"}


def rows_about(home: Path, job: str) -> int:
    """Count what the database has of a job: its row and its journal."""
    with closing(sqlite3.connect(home / "jobs.db")) as database:
        queries = (
            "SELECT count(*) FROM job WHERE id = ?",
            "SELECT count(*) FROM journal WHERE job_id = ?",
        )
        return sum(database.execute(query, (job,)).fetchone()[0] for query in queries)


def run_directories(home: Path, job: str) -> list[Path]:
    return list((home / "runs").glob(f"{job}.*"))


def is_forgotten(daemon: Daemon, job: str) -> bool:
    """Whether nothing is left of a job: not for clients, not in the database, not on the disk."""
    try:
        daemon.job(job)
    except JobNotFound:
        assert rows_about(daemon.home, job) == 0
        assert run_directories(daemon.home, job) == []
        return True
    return False


def finish_some(daemon: Daemon) -> list[str]:
    jobs = [daemon.submit(line) for line in FINISHED.values()]
    repeated = daemon.submit("echo out; exit 1", retry={"maxAttempts": 2, "backoffMs": 1})
    cancelled = daemon.submit("echo out; sleep 1000")
    daemon.running(cancelled)
    daemon.cancel(cancelled)
    for job in (*jobs, repeated):
        daemon.over(job)
    return [*jobs, repeated, cancelled]


def start_some(daemon: Daemon) -> list[str]:
    """One job of each kind that is not over."""
    running = daemon.submit(f"echo out; {daemon.gate.wait}")
    daemon.running(running)
    waiting = daemon.submit("echo out")
    blocked = daemon.submit("echo out", dependsOn=[running])
    return [running, waiting, blocked]


def test_finished_jobs_go_with_all_that_was_kept_for_them_and_others_stay(home: Path) -> None:
    with killable(home, max_concurrent_jobs=1) as daemon:
        finished, unfinished = finish_some(daemon), start_some(daemon)
        assert all(rows_about(home, job) > 1 for job in finished)
        assert daemon.clean_up() == len(finished)
        assert all(is_forgotten(daemon, job) for job in finished)
        assert daemon.metrics()["totalJobs"] == len(unfinished)
        assert daemon.clean_up() == 0
        daemon.gate.open()
        for job in unfinished:
            assert daemon.over(job)["exitCode"] == 0
            assert daemon.output(job) == "out\n"


def test_the_daemon_removes_them_by_itself_when_their_time_is_over(home: Path) -> None:
    settings: dict[str, Any] = {"retain_jobs_ms": 0, "job_cleanup_interval_ms": 100}
    with killable(home, max_concurrent_jobs=1, **settings) as daemon:
        running, waiting, blocked = start_some(daemon)
        daemon.cancel(waiting)
        until_now(lambda: is_forgotten(daemon, waiting), "the cancelled job's removal")
        assert daemon.job(running)["status"] == "running"
        assert daemon.job(blocked)["status"] == "pending"
        daemon.gate.open()
        for job in (running, blocked):
            until_now(lambda job=job: is_forgotten(daemon, job), f"the removal of {job}")
        until_now(lambda: not list((home / "runs").iterdir()), "an empty directory")


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "ended"])
def test_what_outlived_its_time_while_no_daemon_ran_goes_with_the_next_start(
    home: Path, kill: bool
) -> None:
    """A daemon that never lives until its first interval is over cleans up all the same."""
    with killable(home, max_concurrent_jobs=1) as daemon:
        finished, unfinished = finish_some(daemon), start_some(daemon)
        if kill:
            daemon.kill()
        else:
            daemon.terminate()
            daemon.join()
        configure(home, retain_jobs_ms=0)
        daemon.start()
        for job in finished:
            until_now(lambda job=job: is_forgotten(daemon, job), f"the removal of {job}")
        statuses = [daemon.job(job)["status"] for job in unfinished]
        assert statuses[0] == "running" and statuses[2] == "pending"


def test_jobs_within_their_time_and_the_newest_that_are_to_be_kept_stay(home: Path) -> None:
    with killable(home, retain_jobs_ms=3_600_000, job_cleanup_interval_ms=100) as daemon:
        finished = finish_some(daemon)
        newest = daemon.submit("echo out")
        daemon.over(newest)
        daemon.call("console_cleanup_jobs")
        daemon.restart()
        assert daemon.metrics()["totalJobs"] == len(finished) + 1
        cleaned = daemon.call("console_cleanup_jobs", options={"maxAge": 0, "keepCount": 1})
        assert (cleaned["cleaned"], cleaned["remaining"]) == (len(finished), 1)
        assert daemon.output(newest) == "out\n"
