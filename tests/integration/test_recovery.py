"""Promise 6: unknown is said to be unknown, and nothing is ever guessed from a pid.

A run whose shim is gone, and a run that was live when the machine went down, are `interrupted`, their
exit code is null. What can be known is known: an exit on record, a run that never began.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation import app
from console_automation.adapters.machine import SystemClock
from console_automation.adapters.state_directory import StateDirectory
from console_automation.shim import state
from tests.integration.chaos.crashing import serve_and_die
from tests.integration.daemons import Daemon, killable, serve_as_installed
from tests.integration.servers import end_everything
from tests.processes import bearing, new_mark, parent_of
from tests.waiting import until_now


def outcome(job: dict[str, Any]) -> tuple[str, str | None, int | None]:
    return job["status"], job.get("reason"), job["exitCode"]


LOST = ("interrupted", "lost", None)
REBOOT = ("interrupted", "reboot", None)


class NextBoot(SystemClock):
    """The clock after the machine has been started again."""

    def __init__(self) -> None:
        super().__init__()
        self.boot_id = "the next boot"


def serve_after_reboot(home: Path) -> int:
    app.SystemClock = NextBoot  # type: ignore[misc]
    return serve_as_installed(home)


def shut_down(daemon: Daemon) -> None:
    """End every process of the state directory, as the machine does when it loses power."""
    daemon.kill()
    end_everything(daemon.home)


def has_exit(run: Path) -> bool:
    """Whether the shim has recorded how a run ended."""
    with (run / "state").open("rb") as file:
        return state.read_exit(file.fileno()) is not None


def kill_shim_of(pid: int) -> None:
    os.kill(parent_of(pid), signal.SIGKILL)


@pytest.mark.parametrize("daemon_is_up", [True, False], ids=["daemon up", "daemon down"])
def test_a_run_that_lost_its_shim_is_interrupted_and_leaves_no_process(
    home: Path, daemon_is_up: bool
) -> None:
    mark = new_mark()
    with killable(home) as daemon:
        job = daemon.submit(f"echo before; setsid sleep {mark} & sleep {mark}")
        pid = daemon.running(job)["pid"]
        until_now(lambda: len(bearing(mark)) >= 3 and daemon.output(job), "the job's processes")
        if not daemon_is_up:
            daemon.kill()
        kill_shim_of(pid)
        if not daemon_is_up:
            daemon.start()
        over = daemon.over(job)
        assert outcome(over) == LOST
        assert "signal" not in over and "pid" not in over
        assert daemon.output(job) == "before\n"
        until_now(lambda: not bearing(mark), "the end of the job's processes")


def test_a_client_may_ask_for_lost_runs_to_be_repeated(home: Path) -> None:
    with killable(home) as daemon:
        retry = {"maxAttempts": 2, "backoffMs": 1, "on": ["lost"]}
        job = daemon.submit(f"{daemon.gate.wait}; exit 7", retry=retry)
        kill_shim_of(daemon.running(job)["pid"])
        until_now(lambda: daemon.job(job)["attempt"] == 2, "the second attempt")
        daemon.gate.open()
        assert outcome(daemon.over(job)) == ("failed", "exit_code", 7)


def test_a_run_whose_directory_was_taken_away_is_lost_not_repeated(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit(f"echo run >> {home}/notes; sleep 1000")
        daemon.running(job)
        daemon.submit("exit 0")  # the start is noted by now: writes are kept in order
        shut_down(daemon)
        shutil.rmtree(home / "runs" / f"{job}.1")
        daemon.start()
        assert outcome(daemon.over(job)) == LOST
        assert (home / "notes").read_text() == "run\n"


def test_after_a_reboot_live_runs_are_interrupted_and_everything_else_goes_on(home: Path) -> None:
    with killable(home, max_concurrent_jobs=3) as daemon:
        live = daemon.submit("sleep 1000")
        ended = daemon.submit(f"{daemon.gate.wait}; echo done; exit 42")
        failing = daemon.submit("exit 3", retry={"maxAttempts": 2, "backoffMs": 600_000})
        filler = daemon.submit("sleep 1000")
        waiting = daemon.submit("exit 0")
        blocked = daemon.submit("exit 0", dependsOn=[live])
        for each in (live, ended, filler):
            daemon.running(each)
        until_now(lambda: daemon.job(failing)["attempt"] == 1, "the first attempt")
        until_now(lambda: daemon.job(failing)["status"] == "pending", "its end")
        daemon.kill()
        daemon.gate.open()
        until_now(lambda: has_exit(home / "runs" / f"{ended}.1"), "an end that no daemon saw")
        end_everything(home)
        daemon.start(serve_after_reboot)
        assert outcome(daemon.over(live)) == REBOOT
        assert outcome(daemon.over(filler)) == REBOOT
        assert outcome(daemon.over(ended)) == ("failed", "exit_code", 42)
        assert daemon.output(ended) == "done\n"
        assert outcome(daemon.over(waiting)) == ("completed", None, 0)
        assert outcome(daemon.over(blocked)) == ("failed", "dependency", None)
        assert daemon.job(failing)["status"] == "pending"


def test_an_order_that_was_on_its_way_when_the_machine_went_down_is_interrupted(
    home: Path,
) -> None:
    """Its start record may not have reached the disk, so nobody knows whether it ran."""
    with killable(home, partial(serve_and_die, "before start", home / "passed")) as daemon:
        with pytest.raises(Exception, match="the daemon ended while it was asked"):
            daemon.submit("exit 0", idempotencyKey="k")
        daemon.join()
        end_everything(home)
        daemon.start(serve_after_reboot)
        job = daemon.submit("exit 0", idempotencyKey="k")
        assert outcome(daemon.over(job)) == REBOOT


@contextmanager
def decoy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is nobody's job."""
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("serve", [serve_as_installed, serve_after_reboot])
def test_a_process_that_has_a_stored_pid_by_chance_is_never_signalled(
    home: Path, serve: Any
) -> None:
    with killable(home) as daemon, decoy() as stranger:
        jobs = [daemon.submit("sleep 1000") for _ in range(2)]
        for job in jobs:
            daemon.running(job)
        shut_down(daemon)
        with closing(sqlite3.connect(home / "jobs.db")) as database, database:
            set_pid = "UPDATE job SET state = json_set(state, '$.pid', ?)"
            database.execute(set_pid, (stranger.pid,))
            database.execute("UPDATE job SET phase = 'stopping' WHERE id = ?", (jobs[0],))
        daemon.start(serve)
        for job in jobs:
            assert daemon.over(job)["status"] == "interrupted"
        assert stranger.poll() is None


def test_an_order_that_reaches_its_shim_late_begins_nothing(home: Path) -> None:
    """Promise 3: the shim has not read its order when the next daemon gives the job to another."""
    with killable(home) as daemon:
        daemon.over(daemon.submit("exit 0"))  # there is a shim that is ready for orders
        launcher = daemon.launcher()
        launcher.suspend()
        shims = launcher.children()
        for shim in shims:
            shim.suspend()
        job = daemon.submit(f"echo $CONSOLE_AUTOMATION_RUN >> {home}/notes; exit 5")
        daemon.kill()
        launcher.kill()
        daemon.start()
        assert outcome(daemon.over(job)) == ("failed", "exit_code", 5)
        for shim in shims:
            shim.resume()
        psutil.wait_procs(shims)
        assert (home / "notes").read_text() == f"{job}.2\n"
        assert daemon.job(job)["attempt"] == 1


def test_a_child_that_a_killed_daemon_was_just_starting_does_not_keep_the_next_one_out(
    home: Path,
) -> None:
    """Between fork and exec it holds the daemon's lock, and it outlives the daemon by a moment."""
    first, second = StateDirectory(home), StateDirectory(home)
    first.acquire()
    lock = os.dup(first._lock)
    with subprocess.Popen(["sleep", "0.2"], pass_fds=[lock]):
        os.close(lock)
        first.release()
        assert not second.try_acquire()
        second.acquire()
    second.release()
