"""What is left behind in the cluster when parts of it die: copies of jobs that were given to others, names
that nobody knows any more, records that take no more."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.errors import BadRequest, Unavailable
from tests.integration.clusters import as_worker, settings_of
from tests.integration.daemons import Daemon, killable
from tests.integration.fleet import Fleet, fire, running_fleet
from tests.integration.nats_server import running_nats_server
from tests.processes import is_alive
from tests.waiting import until_now

TOOLSETS = "jobs definitions schedules cluster"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    knobs = {"toolsets": TOOLSETS, "cluster_lost_ms": 1_500, "cluster_copy_ms": 100}
    with running_fleet(("a", "b"), **knobs) as running:
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
        fired = fire(
            fleet.gateway,
            name=name,
            command=f"kill -{number} $$",
            options={"target": "_any"},
        )
        over = fleet.gateway.over(fired)
        assert (over["status"], over.get("signal")) == ("failed", name), fleet.gateway.output(
            over["id"]
        )


def test_what_is_carried_is_not_run_again_when_its_worker_is_lost_unless_the_policy_says_so(
    fleet: Fleet,
) -> None:
    has_begun = fleet.place / "begun"
    fired = fire(
        fleet.gateway,
        name="carried",
        command=f"echo line >> {has_begun}; exec sleep 300",
        options={"target": "_any", "retry": {"maxAttempts": 3, "backoffMs": 1}},
    )
    until_now(has_begun.exists, "the job on its worker")
    listed = fleet.gateway.call("console_list_jobs", options={"cluster": "jobs"})["jobs"]
    fleet.daemons[listed[0]["worker"]].kill()
    over = fleet.gateway.over(fired)
    assert (over["status"], over["exitCode"]) == ("failed", 75)
    assert has_begun.read_text() == "line\n"


def test_what_is_carried_is_run_again_by_the_cluster_where_the_policy_has_lost(
    fleet: Fleet,
) -> None:
    has_begun = fleet.place / "begun"
    fired = fire(
        fleet.gateway,
        name="carried",
        command=f"[ -e {has_begun} ] && exit 7; touch {has_begun}; exec sleep 300",
        options={
            "target": "_any",
            "retry": {"maxAttempts": 2, "backoffMs": 1, "on": ["lost"]},
        },
    )
    until_now(has_begun.exists, "the job on its worker")
    [job] = fleet.gateway.call("console_list_jobs", options={"cluster": "jobs"})["jobs"]
    fleet.daemons[job["worker"]].kill()
    over = fleet.gateway.over(fired)
    assert (over["status"], over["exitCode"]) == ("failed", 7)
    assert fleet.gateway.job(job["id"])["attempt"] == 2


def test_of_a_job_whose_worker_was_lost_there_is_what_it_had_printed(fleet: Fleet) -> None:
    job_id, worker, _ = begun(fleet, "echo nearly done; exec sleep 300")
    until_now(lambda: b'"copy"' in fleet.record(job_id), "a copy")
    worker.kill()
    until_now(lambda: fleet.gateway.job(job_id)["status"] == "interrupted", "its loss")
    page = fleet.gateway.call("console_get_job_output", jobId=job_id)
    assert [each["content"] for each in page["output"]] == ["nearly done\n"]
    assert (
        page["status"] == "interrupted" and page["asOf"] < fleet.gateway.job(job_id)["completedAt"]
    )


def test_a_job_that_was_lost_and_is_to_be_run_again_says_so_whatever_it_had_printed(
    fleet: Fleet,
) -> None:
    retry = {"maxAttempts": 2, "on": ["lost"], "backoffMs": 60_000}
    job_id, worker, _ = begun(fleet, "echo nearly done; exec sleep 300", retry=retry)
    until_now(lambda: b'"copy"' in fleet.record(job_id), "a copy")
    worker.kill()
    until_now(lambda: fleet.gateway.job(job_id)["status"] == "pending", "its loss")
    job = fleet.gateway.job(job_id)
    assert job["output"]["bytes"] and job["reason"] == "lost" and "was lost" in job["error"]


@pytest.mark.parametrize("is_back", [True, False])
def test_a_job_whose_worker_was_lost_and_has_come_back_can_be_ended(
    fleet: Fleet, is_back: bool
) -> None:
    job_id, worker, pid = begun(fleet, "exec sleep 300")
    worker.kill()
    until_now(lambda: fleet.gateway.job(job_id)["status"] == "interrupted", "its loss")
    if is_back:
        worker.start()
        fleet.await_status(fleet.gateway.job(job_id)["worker"], "live")
    said = fleet.gateway.call("console_cancel_job", jobId=job_id)
    assert "Nothing was changed" not in said["message"]
    if not is_back:
        worker.start()
    until_now(lambda: not is_alive(pid), "its end")
    until_now(lambda: fleet.gateway.job(job_id)["status"] == "cancelled", "its true end")
    said = fleet.gateway.call("console_cancel_job", jobId=job_id)
    assert "Nothing was changed" in said["message"]


def test_what_is_carried_leaves_the_slots_of_a_machine_to_the_jobs_themselves(
    home: Path, tmp_path: Path
) -> None:
    with running_nats_server(tmp_path / "nats") as nats:
        both = as_worker("both", cluster_gateway=True, max_concurrent_jobs=1)
        toolsets = "jobs definitions workflows cluster"
        with killable(home, **settings_of(nats, **both, toolsets=toolsets)) as machine:
            until_now(lambda: machine.call("console_list_workers")["workers"], "the worker")
            machine.call("console_register_job", name="there", command="true", target="both")
            steps = [{"id": name, "job": "there"} for name in ("one", "two", "three")]
            machine.call("console_register_workflow", name="all", steps=steps, timeout=20_000)
            run = machine.call("console_execute_workflow", name="all", waitMs=30_000)
            assert run["run"]["status"] == "completed", run
