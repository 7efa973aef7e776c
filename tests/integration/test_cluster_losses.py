"""What is left behind in the cluster when parts of it die: copies of jobs that were given to others, names
that nobody knows any more, records that take no more."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from console_automation.errors import BadRequest, Unavailable
from tests.integration.daemons import Daemon, killable
from tests.integration.nats_server import NatsServer, running_nats_server
from tests.waiting import until_now

KEY = "a key that all machines of the test have"
TOOLSETS = "jobs definitions schedules cluster"


class Machines:
    """A NATS server, a gateway and two workers."""

    def __init__(self, place: Path, nats: NatsServer, stack: ExitStack) -> None:
        self.place = place
        self.nats = nats
        shared = {
            "nats_url": nats.url,
            "cluster_key": KEY,
            "cluster_lease_ms": 1000,
            "cluster_lost_ms": 1500,
        }
        self.workers: dict[str, Daemon] = {}
        for host in ("a", "b"):
            role = {"cluster_worker": True, "cluster_gateway": False, "worker_host": host}
            home = self._home(host)
            self.workers[host] = stack.enter_context(killable(home, **shared, **role))
        gateway = killable(self._home("gateway"), **shared, toolsets=TOOLSETS)
        self.gateway = stack.enter_context(gateway)
        for host in self.workers:
            self.await_status(host, "live")

    def _home(self, name: str) -> Path:
        home = self.place / name
        home.mkdir(mode=0o700)
        return home

    def await_status(self, host: str, status: str) -> None:
        """Return when the gateway sees a worker like that."""

        def seen() -> bool:
            try:
                listed = self.gateway.call("console_list_workers")["workers"]
            except Exception:
                return False
            return any((each["host"], each["status"]) == (host, status) for each in listed)

        until_now(seen, f"{host} to be {status}")

    def begun(self, line: str, **options: Any) -> tuple[str, Daemon, int]:
        """Have a line run by whichever worker takes it; return the job, its worker and its process."""
        pid_file = self.place / "pid"
        pid_file.unlink(missing_ok=True)
        job_id = self.gateway.submit(
            f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; {line}", **options
        )
        until_now(pid_file.exists, "the job on its worker")
        worker = self.workers[self.gateway.job(job_id)["worker"]]
        return job_id, worker, int(pid_file.read_text())


@pytest.fixture
def machines() -> Iterator[Machines]:
    place = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        nats = stack.enter_context(running_nats_server(place / "nats"))
        yield Machines(place, nats, stack)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_worker_that_starts_again_ends_the_copy_of_a_job_that_was_given_to_another(
    machines: Machines,
) -> None:
    retry = {"maxAttempts": 2, "on": ["lost"], "backoffMs": 100}
    job_id, worker, pid = machines.begun("exec sleep 300", target="_any", retry=retry)
    worker.kill()
    until_now(lambda: machines.gateway.job(job_id).get("attempt") == 2, "the second attempt")
    assert is_there(pid)
    worker.start()
    until_now(lambda: not is_there(pid), "the end of the copy")
    until_now(lambda: machines.gateway.job(job_id).get("lateResults"), "its late result")
    assert machines.gateway.job(job_id)["status"] == "running"
    machines.gateway.cancel(job_id)
    assert machines.gateway.over(job_id)["status"] == "cancelled"


def test_a_worker_that_starts_again_ends_what_was_cancelled_after_it_was_lost(
    machines: Machines,
) -> None:
    retry = {"maxAttempts": 2, "on": ["lost"], "backoffMs": 60_000}
    job_id, worker, pid = machines.begun("exec sleep 300", target="_any", retry=retry)
    worker.kill()
    until_now(lambda: machines.gateway.job(job_id)["status"] == "pending", "its loss")
    machines.gateway.cancel(job_id)
    worker.start()
    until_now(lambda: not is_there(pid), "the end of what was cancelled")
    assert machines.gateway.job(job_id)["status"] == "cancelled"


def test_workers_enter_their_names_again_when_nats_has_lost_its_disk(machines: Machines) -> None:
    machines.nats.kill()
    shutil.rmtree(machines.nats.place / "store")
    machines.nats.start()

    def taken() -> str | None:
        try:
            return machines.gateway.submit("true", target="b")
        except (BadRequest, Unavailable):
            return None

    assert machines.gateway.over(str(until_now(taken, "worker b")))["status"] == "completed"


def test_what_carries_ends_by_the_signal_that_ended_what_is_carried(machines: Machines) -> None:
    for number, name in ((9, "SIGKILL"), (35, "SIG35")):
        made = machines.gateway.call(
            "console_create_schedule",
            name=name,
            command=f"kill -{number} $$",
            trigger={"everyMs": 3_600_000},
            options={"target": "_any"},
        )["schedule"]
        fired = machines.gateway.call("console_trigger_schedule", scheduleId=made["scheduleId"])
        over = machines.gateway.over(fired["jobId"])
        assert (over["status"], over.get("signal")) == ("failed", name), machines.gateway.output(
            over["id"]
        )


def test_what_is_carried_is_not_run_again_when_its_worker_is_lost_unless_the_policy_says_so(
    machines: Machines,
) -> None:
    begun = machines.place / "begun"
    made = machines.gateway.call(
        "console_create_schedule",
        name="carried",
        command=f"echo line >> {begun}; exec sleep 300",
        trigger={"everyMs": 3_600_000},
        options={"target": "_any", "retry": {"maxAttempts": 3, "backoffMs": 1}},
    )["schedule"]
    fired = machines.gateway.call("console_trigger_schedule", scheduleId=made["scheduleId"])
    until_now(begun.exists, "the job on its worker")
    listed = machines.gateway.call("console_list_jobs", options={"cluster": "jobs"})["jobs"]
    machines.workers[listed[0]["worker"]].kill()
    over = machines.gateway.over(fired["jobId"])
    assert (over["status"], over["exitCode"]) == ("failed", 75)
    assert begun.read_text() == "line\n"


def test_what_is_carried_is_run_again_by_the_cluster_where_the_policy_has_lost(
    machines: Machines,
) -> None:
    begun = machines.place / "begun"
    made = machines.gateway.call(
        "console_create_schedule",
        name="carried",
        command=f"[ -e {begun} ] && exit 7; touch {begun}; exec sleep 300",
        trigger={"everyMs": 3_600_000},
        options={
            "target": "_any",
            "retry": {"maxAttempts": 2, "backoffMs": 1, "on": ["lost"]},
        },
    )["schedule"]
    fired = machines.gateway.call("console_trigger_schedule", scheduleId=made["scheduleId"])
    until_now(begun.exists, "the job on its worker")
    [job] = machines.gateway.call("console_list_jobs", options={"cluster": "jobs"})["jobs"]
    machines.workers[job["worker"]].kill()
    over = machines.gateway.over(fired["jobId"])
    assert (over["status"], over["exitCode"]) == ("failed", 7)
    assert machines.gateway.job(job["id"])["attempt"] == 2


@pytest.mark.parametrize("is_back", [True, False])
def test_a_job_whose_worker_was_lost_and_has_come_back_can_be_ended(
    machines: Machines, is_back: bool
) -> None:
    job_id, worker, pid = machines.begun("exec sleep 300", target="_any")
    worker.kill()
    until_now(lambda: machines.gateway.job(job_id)["status"] == "interrupted", "its loss")
    if is_back:
        worker.start()
        machines.await_status(machines.gateway.job(job_id)["worker"], "live")
    said = machines.gateway.call("console_cancel_job", jobId=job_id)
    assert "Nothing was changed" not in said["message"]
    if not is_back:
        worker.start()
    until_now(lambda: not is_there(pid), "its end")
    until_now(lambda: machines.gateway.job(job_id)["status"] == "cancelled", "its true end")
    said = machines.gateway.call("console_cancel_job", jobId=job_id)
    assert "Nothing was changed" in said["message"]


def test_what_is_carried_leaves_the_slots_of_a_machine_to_the_jobs_themselves(
    tmp_path: Path,
) -> None:
    home = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
    settings = {
        "cluster_key": KEY,
        "cluster_worker": True,
        "worker_host": "both",
        "max_concurrent_jobs": 1,
        "toolsets": "jobs definitions workflows cluster",
    }
    with (
        running_nats_server(tmp_path / "nats") as nats,
        killable(home, nats_url=nats.url, **settings) as machine,
    ):
        until_now(lambda: machine.call("console_list_workers")["workers"], "the worker")
        machine.call("console_register_job", name="there", command="true", target="both")
        steps = [{"id": name, "job": "there"} for name in ("one", "two", "three")]
        machine.call("console_register_workflow", name="all", steps=steps, timeout=20_000)
        run = machine.call("console_execute_workflow", name="all", waitMs=30_000)
        assert run["run"]["status"] == "completed", run
    shutil.rmtree(home)
