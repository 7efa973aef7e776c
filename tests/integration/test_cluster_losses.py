"""What is left behind in the cluster when parts of it die: copies of jobs that were given to others, names
that nobody knows any more, records that take no more."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from console_automation.errors import BadRequest, Unavailable
from tests.integration.daemons import Daemon
from tests.integration.fleet import Fleet, running_fleet
from tests.processes import is_alive
from tests.waiting import until_now

TOOLSETS = "jobs definitions schedules cluster"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with running_fleet(("a", "b"), toolsets=TOOLSETS, cluster_lost_ms=1_500) as running:
        yield running


def begun(fleet: Fleet, line: str, **options: Any) -> tuple[str, Daemon, int]:
    """Have a line run by whichever worker takes it; return the job, its worker and its process."""
    pid_file = fleet.place / "pid"
    noting = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; {line}"
    job_id = fleet.gateway.submit(noting, target="_any", **options)
    until_now(pid_file.exists, "the job on its worker")
    worker = fleet.daemons[fleet.gateway.job(job_id)["worker"]]
    return job_id, worker, int(pid_file.read_text())


def test_a_worker_that_starts_again_ends_the_copy_of_a_job_that_was_given_to_another(
    fleet: Fleet,
) -> None:
    retry = {"maxAttempts": 2, "on": ["lost"], "backoffMs": 100}
    job_id, worker, pid = begun(fleet, "exec sleep 300", retry=retry)
    worker.kill()
    until_now(lambda: fleet.gateway.job(job_id).get("attempt") == 2, "the second attempt")
    assert is_alive(pid)
    worker.start()
    until_now(lambda: not is_alive(pid), "the end of the copy")
    until_now(lambda: fleet.gateway.job(job_id).get("lateResults"), "its late result")
    assert fleet.gateway.job(job_id)["status"] == "running"
    fleet.gateway.cancel(job_id)
    assert fleet.gateway.over(job_id)["status"] == "cancelled"


def test_a_worker_that_starts_again_ends_what_was_cancelled_after_it_was_lost(
    fleet: Fleet,
) -> None:
    retry = {"maxAttempts": 2, "on": ["lost"], "backoffMs": 60_000}
    job_id, worker, pid = begun(fleet, "exec sleep 300", retry=retry)
    worker.kill()
    until_now(lambda: fleet.gateway.job(job_id)["status"] == "pending", "its loss")
    fleet.gateway.cancel(job_id)
    worker.start()
    until_now(lambda: not is_alive(pid), "the end of what was cancelled")
    assert fleet.gateway.job(job_id)["status"] == "cancelled"


def test_workers_enter_their_names_again_when_nats_has_lost_its_disk(fleet: Fleet) -> None:
    fleet.nats.kill()
    shutil.rmtree(fleet.nats.place / "store")
    fleet.nats.start()

    def taken() -> str | None:
        try:
            return fleet.gateway.submit("true", target="b")
        except (BadRequest, Unavailable):
            return None

    assert fleet.gateway.over(str(until_now(taken, "worker b")))["status"] == "completed"


def test_what_carries_ends_by_the_signal_that_ended_what_is_carried(fleet: Fleet) -> None:
    for number, name in ((9, "SIGKILL"), (35, "SIG35")):
        made = fleet.gateway.call(
            "console_create_schedule",
            name=name,
            command=f"kill -{number} $$",
            trigger={"everyMs": 3_600_000},
            options={"target": "_any"},
        )["schedule"]
        fired = fleet.gateway.call("console_trigger_schedule", scheduleId=made["scheduleId"])
        over = fleet.gateway.over(fired["jobId"])
        assert (over["status"], over.get("signal")) == ("failed", name), fleet.gateway.output(
            over["id"]
        )
