"""Promise 9 for `dependsOn`: a job runs when all it depends on has completed, and fails when that
cannot happen any more, whatever dies in between. With `evenIfFailed` it runs when all that is over.
"""

import os
import signal
from pathlib import Path

import pytest

from console_automation.errors import BadRequest
from tests.integration.daemons import Daemon, killable
from tests.processes import is_alive, parent_of
from tests.waiting import until_now


def verdict(daemon: Daemon, job: str) -> tuple[str, str | None]:
    over = daemon.over(job)
    return over["status"], over.get("reason")


def end_unseen(daemon: Daemon, *jobs: str) -> None:
    """Open the gate while no daemon runs, and wait until these jobs have ended."""
    pids = [daemon.running(job)["pid"] for job in jobs]
    daemon.kill()
    daemon.gate.open()
    until_now(lambda: not any(map(is_alive, pids)), "ends that no daemon saw")
    daemon.start()


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "while no daemon runs"])
def test_jobs_run_after_those_they_depend_on_and_not_before(home: Path, seen: bool) -> None:
    """A diamond: the last one waits for both in the middle, these for the first."""
    with killable(home) as daemon:
        note = f">> {home}/order"
        first = daemon.submit(f"{daemon.gate.wait}; echo first {note}")
        middle = [daemon.submit(f"echo middle {note}", dependsOn=[first]) for _ in range(2)]
        last = daemon.submit(f"echo last {note}", dependsOn=[*middle, first])
        waiting = daemon.job(last)
        assert waiting["status"] == "pending"
        assert waiting["waitingFor"] == f"waits for {', '.join(sorted([*middle, first]))}"
        if seen:
            daemon.restart()
            assert daemon.job(last)["waitingFor"] == waiting["waitingFor"]
            daemon.gate.open()
        else:
            end_unseen(daemon, first)
        for job in (first, *middle, last):
            assert verdict(daemon, job) == ("completed", None)
        assert (home / "order").read_text().split() == ["first", "middle", "middle", "last"]


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "while no daemon runs"])
def test_a_failure_fails_the_whole_chain_behind_it_and_none_of_it_runs(
    home: Path, seen: bool
) -> None:
    with killable(home) as daemon:
        first = daemon.submit(f"{daemon.gate.wait}; exit 3")
        second = daemon.submit(f"touch {home}/ran", dependsOn=[first])
        third = daemon.submit(f"touch {home}/ran", dependsOn=[second])
        if seen:
            daemon.gate.open()
        else:
            end_unseen(daemon, first)
        for job, need in ((second, first), (third, second)):
            assert verdict(daemon, job) == ("failed", "dependency")
            assert daemon.job(job)["error"] == f"it depends on {need}, which did not complete"
        late = daemon.submit(f"touch {home}/ran", dependsOn=[first])
        assert verdict(daemon, late) == ("failed", "dependency")
        assert not (home / "ran").exists()


@pytest.mark.parametrize("restart", [True, False])
def test_cancelling_a_job_fails_those_that_depend_on_it(home: Path, restart: bool) -> None:
    with killable(home, max_concurrent_jobs=1) as daemon:
        running = daemon.submit("sleep 1000")
        waiting = daemon.submit("exit 0")
        behind = [daemon.submit("exit 0", dependsOn=[job]) for job in (running, waiting)]
        if restart:
            daemon.restart()
        daemon.cancel(waiting)
        daemon.cancel(running)
        for job in behind:
            assert verdict(daemon, job) == ("failed", "dependency")


def test_a_cancelled_job_does_not_run_when_what_it_depends_on_completes(home: Path) -> None:
    with killable(home) as daemon:
        first = daemon.submit(daemon.gate.wait)
        second = daemon.submit(f"touch {home}/ran", dependsOn=[first])
        daemon.cancel(second)
        daemon.restart()
        daemon.gate.open()
        assert verdict(daemon, first) == ("completed", None)
        assert verdict(daemon, second) == ("cancelled", "cancelled")
        assert not (home / "ran").exists()


def test_a_job_that_depends_on_one_that_is_not_there_is_refused_and_leaves_no_trace(
    home: Path,
) -> None:
    with killable(home) as daemon:
        with pytest.raises(BadRequest, match=r"options\.dependsOn: There is no job 'job-nowhere'"):
            daemon.submit("exit 0", dependsOn=["job-nowhere"])
        assert daemon.metrics()["totalJobs"] == 0


def test_a_job_that_is_repeated_counts_with_its_last_attempt(home: Path) -> None:
    once = f"[ -e {home}/failed ] || {{ touch {home}/failed; exit 1; }}"
    with killable(home) as daemon:
        first = daemon.submit(
            f"{daemon.gate.wait}; {once}", retry={"maxAttempts": 2, "backoffMs": 1}
        )
        second = daemon.submit("exit 0", dependsOn=[first])
        end_unseen(daemon, first)
        assert verdict(daemon, second) == ("completed", None)
        assert daemon.job(first)["attempt"] == 2


def test_a_completed_job_that_was_removed_stays_completed_for_those_that_depend_on_it(
    home: Path,
) -> None:
    with killable(home) as daemon:
        done, running = daemon.submit("exit 0"), daemon.submit(daemon.gate.wait)
        daemon.over(done)
        behind = daemon.submit("exit 0", dependsOn=[done, running])
        daemon.over(done)
        assert daemon.clean_up() == 1
        daemon.restart()
        assert daemon.job(behind)["waitingFor"] == f"waits for {running}"
        daemon.gate.open()
        assert verdict(daemon, behind) == ("completed", None)


EVEN_IF_FAILED = {"evenIfFailed": True}


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "while no daemon runs"])
def test_what_does_not_mind_starts_when_all_are_over_however_they_ended(
    home: Path, seen: bool
) -> None:
    with killable(home) as daemon:
        note = f">> {home}/order"
        fails = daemon.submit(f"{daemon.gate.wait}; echo failed {note}; exit 3")
        completes = daemon.submit(f"{daemon.gate.wait}; echo completed {note}")
        needs = [fails, completes, daemon.submit("exit 0", dependsOn=[fails])]
        minds = daemon.submit(f"echo ran {note}", dependsOn=needs)
        after = daemon.submit(f"echo after {note}", dependsOn=needs, **EVEN_IF_FAILED)
        last = daemon.submit("exit 0", dependsOn=[minds, after], **EVEN_IF_FAILED)
        assert daemon.job(after)["waitingFor"] == f"waits for {', '.join(sorted(needs))}"
        if seen:
            daemon.restart()
            assert daemon.job(after)["status"] == "pending"
            daemon.gate.open()
        else:
            end_unseen(daemon, fails, completes)
        assert verdict(daemon, after) == verdict(daemon, last) == ("completed", None)
        assert verdict(daemon, minds) == ("failed", "dependency")
        *before, end = (home / "order").read_text().split()
        assert (sorted(before), end) == (["completed", "failed"], "after")


@pytest.mark.parametrize("restart", [True, False])
def test_what_does_not_mind_starts_after_cancelled_and_lost_jobs_too(
    home: Path, restart: bool
) -> None:
    with killable(home, max_concurrent_jobs=2) as daemon:
        running, lost = daemon.submit("sleep 1000"), daemon.submit("sleep 1000")
        waiting = daemon.submit("exit 0", name="waiting")
        pid = daemon.running(lost)["pid"]
        needs = [running, lost, waiting]
        behind = daemon.submit("exit 0", dependsOn=needs, **EVEN_IF_FAILED)
        for need in (waiting, running):
            daemon.cancel(need)
        os.kill(parent_of(pid), signal.SIGKILL)
        if restart:
            daemon.restart()
        assert verdict(daemon, lost) == ("interrupted", "lost")
        assert verdict(daemon, behind) == ("completed", None)


def test_what_does_not_mind_starts_at_once_when_all_are_over_already(home: Path) -> None:
    with killable(home) as daemon:
        failed = daemon.submit("exit 1")
        assert verdict(daemon, failed) == ("failed", "exit_code")
        late = daemon.submit("exit 0", dependsOn=[failed], **EVEN_IF_FAILED)
        assert verdict(daemon, late) == ("completed", None)
        with pytest.raises(BadRequest, match="There is no job 'job-nowhere'"):
            daemon.submit("exit 0", dependsOn=["job-nowhere"], **EVEN_IF_FAILED)


def test_a_failed_job_that_was_removed_is_over_for_those_that_do_not_mind(home: Path) -> None:
    with killable(home) as daemon:
        failed, running = daemon.submit("exit 1"), daemon.submit(daemon.gate.wait)
        daemon.over(failed)
        behind = daemon.submit("exit 0", dependsOn=[failed, running], **EVEN_IF_FAILED)
        assert daemon.clean_up() == 1
        daemon.restart()
        assert daemon.job(behind)["waitingFor"] == f"waits for {running}"
        daemon.gate.open()
        assert verdict(daemon, behind) == ("completed", None)


def test_what_does_not_mind_can_be_cancelled_while_it_waits(home: Path) -> None:
    with killable(home) as daemon:
        first = daemon.submit(f"{daemon.gate.wait}; exit 1")
        second = daemon.submit(f"touch {home}/ran", dependsOn=[first], **EVEN_IF_FAILED)
        daemon.cancel(second)
        daemon.gate.open()
        assert verdict(daemon, first) == ("failed", "exit_code")
        assert verdict(daemon, second) == ("cancelled", "cancelled")
        assert not (home / "ran").exists()
