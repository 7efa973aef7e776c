"""Promise 2: submission is idempotent per key, in a crowd and across a crash."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from console_automation.errors import Conflict
from tests.integration.chaos.story import Client
from tests.integration.daemons import Caller, killable
from tests.waiting import until_now

CROWD = 50


def crowd(home: Path, line: str) -> "list[str]":
    """Submit the same line under the same key from many connections at once; return the ids."""
    together = threading.Barrier(CROWD)

    def submit(_: int) -> str:
        caller = Caller(home)
        client = Client(caller, lambda: until_now(caller.dial, "the next daemon"))
        caller.dial()
        together.wait()
        try:
            return client.insist(caller.submit, line, idempotencyKey="k")
        finally:
            caller.hang_up()

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(submit, range(CROWD)))


def test_the_same_key_fifty_times_at_once_makes_one_job_and_one_run(home: Path) -> None:
    with killable(home) as daemon:
        ids = crowd(home, f"echo run >> {home}/notes")
        assert len(set(ids)) == 1
        assert daemon.over(ids[0])["exitCode"] == 0
        assert daemon.metrics()["totalJobs"] == 1
        assert (home / "notes").read_text() == "run\n"


def test_the_same_key_fifty_times_while_the_daemon_is_killed_makes_one_job_and_one_run(
    home: Path,
) -> None:
    """Some are answered before the kill and some by the next daemon, and all are told the same."""
    with killable(home) as daemon, ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(crowd, home, f"echo run >> {home}/notes")
        until_now(lambda: daemon.metrics()["totalJobs"] or submitting.done(), "the first of them")
        daemon.restart()
        ids = submitting.result()
        assert Counter(ids) == {ids[0]: CROWD}
        assert daemon.over(ids[0])["exitCode"] == 0
        assert daemon.metrics()["totalJobs"] == 1
        assert (home / "notes").read_text() == "run\n"


def test_a_key_stands_for_its_job_after_a_crash_and_after_the_jobs_end(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit(daemon.gate.wait, idempotencyKey="k")
        daemon.restart()
        assert daemon.submit(daemon.gate.wait, idempotencyKey="k") == job
        daemon.gate.open()
        daemon.over(job)
        assert daemon.submit(daemon.gate.wait, idempotencyKey="k") == job
        daemon.restart()
        assert daemon.submit(daemon.gate.wait, idempotencyKey="k") == job
        assert daemon.metrics()["totalJobs"] == 1


def test_a_key_with_another_command_is_a_conflict_before_and_after_a_crash(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit("exit 1", idempotencyKey="k")
        for _ in range(2):
            with pytest.raises(Conflict, match=f"was used for another request, job {job}"):
                daemon.submit("exit 2", idempotencyKey="k")
            with pytest.raises(Conflict):
                daemon.submit("exit 1", idempotencyKey="k", priority=9)
            daemon.restart()
        assert daemon.metrics()["totalJobs"] == 1


def test_a_key_is_free_again_when_its_job_has_been_removed(home: Path) -> None:
    with killable(home) as daemon:
        first = daemon.submit("exit 0", idempotencyKey="k")
        daemon.over(first)
        assert daemon.clean_up() == 1
        second = daemon.submit("exit 5", idempotencyKey="k")
        assert second != first
        assert daemon.over(second)["exitCode"] == 5
