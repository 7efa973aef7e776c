"""What the cluster does for typed jobs, schedules and workflows: a definition goes to the worker with the
input, and what a schedule or a workflow starts is a job of its machine that has the cluster's job done."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from console_automation.errors import BadRequest
from tests.integration.daemons import Caller, Daemon, killable
from tests.integration.fleet import PATIENT, Fleet, fire, running_fleet
from tests.processes import is_alive
from tests.waiting import until_now

TOOLSETS = "jobs sessions definitions schedules workflows cluster"
ADD = {
    "name": "add",
    "command": 'echo adding; printf "$(( A + B ))" > "$CONSOLE_AUTOMATION_RESULT"',
    "environment": {"A": "{a}", "B": "{b}"},
    "inputSchema": {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    "outputSchema": {"type": "integer"},
    "target": "_any",
}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with running_fleet(("w",), toolsets=TOOLSETS, **PATIENT) as running:
        yield running


@pytest.fixture
def gateway(fleet: Fleet) -> Daemon:
    return fleet.gateway


@pytest.fixture
def place(fleet: Fleet) -> Path:
    return fleet.place


def test_a_definition_goes_to_the_worker_with_its_input_and_the_result_comes_back(
    gateway: Daemon,
) -> None:
    gateway.call("console_register_job", **ADD)
    done = gateway.call("console_execute_job", name="add", input={"a": 2, "b": 3})
    assert (done["status"], done["result"]) == ("completed", 5)
    assert done["jobId"].startswith("cluster-job-")
    again = gateway.call("console_get_job_result", jobId=done["jobId"])
    assert again["result"] == 5
    job = gateway.job(done["jobId"])
    assert (job["worker"], job["definition"]) == ("w", "add")
    assert gateway.output(done["jobId"]) == "adding\n"


def test_a_wrong_input_or_result_of_a_typed_job_is_told_as_on_one_machine(gateway: Daemon) -> None:
    gateway.call("console_register_job", **ADD)
    with pytest.raises(BadRequest, match=r"input\.a"):
        gateway.call("console_execute_job", name="add", input={"a": "two", "b": 3})
    nothing = {**ADD, "name": "nothing", "command": "true", "retry": {"maxAttempts": 3}}
    gateway.call("console_register_job", **nothing)
    done = gateway.call("console_execute_job", name="nothing", input={"a": 2, "b": 3})
    assert (done["status"], done["reason"], done["attempt"]) == ("failed", "result", 1)


def test_steps_of_a_workflow_run_where_their_definitions_say(gateway: Daemon) -> None:
    gateway.call("console_register_job", **ADD)
    steps = [
        {"id": "one", "job": "add", "input": {"a": 1, "b": 1}},
        {
            "id": "two",
            "job": "add",
            "dependsOn": ["one"],
            "input": {"a": {"$from": "steps.one.result"}, "b": 5},
        },
    ]
    gateway.call("console_register_workflow", name="sums", steps=steps)
    run = gateway.call("console_execute_workflow", name="sums", waitMs=30_000)
    assert run["run"]["status"] == "completed", [
        run["steps"],
        gateway.output(run["steps"][-1]["jobId"]),
    ]
    assert {step["id"]: step["result"] for step in run["steps"]} == {"one": 2, "two": 7}
    for step in run["steps"]:
        assert step["jobId"].startswith("job-")
        assert gateway.output(step["jobId"]) == "adding\n"


def test_a_fire_of_a_schedule_with_a_target_ends_as_the_job_on_its_worker_did(
    gateway: Daemon,
) -> None:
    fired = fire(
        gateway,
        name="far",
        command='echo out; echo err >&2; echo "$CITY"; exit 42',
        options={"target": "w", "environment": {"CITY": "Oslo"}},
    )
    over = gateway.over(fired)
    assert (over["status"], over["exitCode"]) == ("failed", 42), gateway.output(over["id"])
    page = gateway.call("console_get_job_output", jobId=over["id"])["output"]
    by_stream = {
        kind: "".join(each["content"] for each in page if each["type"] == kind)
        for kind in ("stdout", "stderr")
    }
    assert by_stream == {"stdout": "out\nOslo\n", "stderr": "err\n"}


def test_cancelling_what_carries_cancels_what_is_carried(gateway: Daemon, place: Path) -> None:
    pid_file = place / "pid"
    fired = fire(
        gateway,
        name="long",
        command=f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 300",
        options={"target": "w"},
    )
    until_now(pid_file.exists, "the job on its worker")
    pid = int(pid_file.read_text())
    gateway.cancel(fired)
    over = gateway.over(fired)
    assert over["status"] == "cancelled"
    until_now(lambda: not is_alive(pid), "the end of what was carried")


def test_a_killed_daemon_does_not_run_what_is_carried_a_second_time(
    gateway: Daemon, place: Path
) -> None:
    lines = place / "lines"
    gate = place / "gate"
    fired = fire(
        gateway,
        name="once",
        command=f"echo line >> {lines}; until [ -e {gate} ]; do sleep 0.05; done; exit 7",
        options={"target": "w"},
    )
    until_now(lines.exists, "the job on its worker")
    gateway.restart()
    gate.touch()
    over = gateway.over(fired)
    assert (over["status"], over["exitCode"]) == ("failed", 7), gateway.output(over["id"])
    assert lines.read_text() == "line\n"


def test_what_a_killed_carrier_has_left_is_ended_before_the_next_attempt_begins(
    gateway: Daemon, place: Path
) -> None:
    log = place / "attempts"
    gate = place / "attempts-gate"
    fired = fire(
        gateway,
        name="again",
        command=f"""
            trap 'echo ended >> {log}; exit 9' TERM
            echo began >> {log}
            until [ -e {gate} ]; do sleep 0.01; done
            exit 7""",
        options={"target": "w", "retry": {"maxAttempts": 2, "backoffMs": 1}},
    )
    until_now(log.exists, "the job on its worker")
    os.kill(gateway.running(fired)["pid"], signal.SIGKILL)
    until_now(lambda: log.read_text().count("began") == 2, "the second attempt")
    assert log.read_text() == "began\nended\nbegan\n"
    gate.touch()
    over = gateway.over(fired)
    assert (over["status"], over["exitCode"], over["attempt"]) == ("failed", 7, 2)


def test_a_directory_that_no_worker_could_find_is_refused_at_once(gateway: Daemon) -> None:
    options = {"target": "w", "workingDirectory": "here"}
    with pytest.raises(BadRequest, match="'here' is not absolute"):
        gateway.call("console_execute_async", command="true", options=options)
    with pytest.raises(BadRequest, match="'here' is not absolute"):
        gateway.call(
            "console_create_schedule",
            name="lost",
            command="true",
            trigger={"everyMs": 3_600_000},
            options=options,
        )


def test_without_a_cluster_a_target_is_refused(place: Path) -> None:
    with killable(place / "alone", toolsets=TOOLSETS) as daemon:
        daemon.call("console_register_job", **ADD)
        for operation, arguments in (
            ("console_execute_async", {"command": "true", "options": {"target": "_any"}}),
            ("console_execute_job", {"name": "add", "input": {"a": 1, "b": 1}}),
            (
                "console_create_schedule",
                {
                    "name": "s",
                    "command": "true",
                    "trigger": {"everyMs": 60_000},
                    "options": {"target": "_any"},
                },
            ),
            ("console_list_workers", {}),
        ):
            with pytest.raises(Exception, match="nats_url"):
                daemon.call(operation, **arguments)


def test_a_step_in_the_cluster_runs_the_definition_of_its_project(
    gateway: Daemon, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.call("console_register_job", name="whose", command="echo registered", target="_any")
    project = place / "project"
    project.mkdir()
    (project / "console-automation.toml").write_text(
        f'[jobs.whose]\ncommand = "echo project"\ntarget = "_any"\nworkingDirectory = "{place}"\n'
    )
    monkeypatch.chdir(project)
    gateway.hang_up()
    gateway.call("console_register_workflow", name="own", steps=[{"id": "one", "job": "whose"}])
    run = gateway.call("console_execute_workflow", name="own", waitMs=30_000)
    gateway.hang_up()
    assert gateway.output(run["steps"][0]["jobId"]) == "project\n"


def test_what_is_carried_can_be_cancelled_though_its_definition_is_removed(
    gateway: Daemon, place: Path
) -> None:
    pid_file = place / "removed"
    command = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 300"
    gateway.call("console_register_job", name="brief", command=command, target="_any")
    gateway.call("console_register_workflow", name="brief", steps=[{"id": "one", "job": "brief"}])
    gateway.call("console_execute_workflow", name="brief")
    until_now(pid_file.exists, "the job on its worker")
    pid = int(pid_file.read_text())
    gateway.call("console_remove_job", name="brief")
    listed = gateway.call("console_list_jobs", options={"status": "active"})["jobs"]
    (carrier,) = [each for each in listed if each["tags"].get("definition") == "brief"]
    gateway.cancel(carrier["id"])
    until_now(lambda: not is_alive(pid), "the end of what was carried")


def test_what_is_carried_is_tried_as_often_as_its_definition_says(
    gateway: Daemon, place: Path
) -> None:
    tries = place / "tries"
    gateway.call(
        "console_register_job",
        name="twice",
        command=f"echo try >> {tries}; exit 1",
        target="_any",
        retry={"maxAttempts": 2, "backoffMs": 1},
    )
    gateway.call("console_register_workflow", name="twice", steps=[{"id": "one", "job": "twice"}])
    run = gateway.call("console_execute_workflow", name="twice", waitMs=30_000)
    assert run["run"]["status"] == "failed"
    assert tries.read_text() == "try\ntry\n"


def test_a_schedule_with_a_target_that_is_changed_still_has_it(gateway: Daemon) -> None:
    made = gateway.call(
        "console_create_schedule",
        name="changed",
        command="sleep 300",
        trigger={"everyMs": 3_600_000},
        options={"target": "w", "environment": {"CITY": "Oslo"}, "timeout": 1},
    )["schedule"]
    assert (made["target"], made["workingDirectory"]) == ("w", "~")
    scheduled = {"scheduleId": made["scheduleId"]}
    gateway.call("console_update_schedule", **scheduled, command='echo "$CITY"', timeout=60_000)
    over = gateway.over(gateway.call("console_trigger_schedule", **scheduled)["jobId"])
    assert (over["status"], over["command"]) == ("completed", 'echo "$CITY"'), over
    assert gateway.output(over["id"]) == "Oslo\n"
    gateway.call("console_update_schedule", **scheduled, command="echo", args=["$CITY", "x"])
    over = gateway.over(gateway.call("console_trigger_schedule", **scheduled)["jobId"])
    assert gateway.output(over["id"]) == "$CITY x\n"
    gateway.call("console_update_schedule", **scheduled, timeout=1)
    gateway.call("console_update_schedule", **scheduled, command="sleep 300")
    over = gateway.over(gateway.call("console_trigger_schedule", **scheduled)["jobId"])
    assert over["status"] == "failed"


def test_what_has_failed_in_the_cluster_has_failed_here_though_it_exited_with_0(
    gateway: Daemon,
) -> None:
    fired = fire(
        gateway,
        name="chatty",
        command="trap 'exit 0' TERM; while :; do echo chatter; done",
        options={"target": "w", "outputLimitBytes": 65_536, "onOutputLimit": "kill"},
    )
    assert gateway.over(fired)["status"] == "failed"


def test_a_fire_in_the_cluster_knows_the_metadata_of_its_schedule(gateway: Daemon) -> None:
    made = gateway.call(
        "console_create_schedule",
        name="told",
        command='echo "$CONSOLE_AUTOMATION_SCHEDULE $CONSOLE_AUTOMATION_METADATA"',
        trigger={"everyMs": 3_600_000},
        options={"target": "w"},
        metadata={"looks": 1},
    )["schedule"]
    fired = gateway.call("console_trigger_schedule", scheduleId=made["scheduleId"])
    over = gateway.over(fired["jobId"])
    assert gateway.output(over["id"]) == f'{made["scheduleId"]} {{"looks": 1}}\n'


def _ignores(pid: int, number: int) -> bool:
    """Whether a process ignores a signal: the carrier does once it has been told to end."""
    status = Path(f"/proc/{pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_an_attempt_that_is_told_to_end_before_it_has_begun_begins_nothing(
    gateway: Daemon, place: Path
) -> None:
    log = place / "told"
    gate = place / "told-gate"
    fired = fire(
        gateway,
        name="told to end",
        command=f"""
            trap 'echo asked >> {log}' TERM
            echo began >> {log}
            until [ -e {gate} ]; do sleep 0.01; done""",
        options={"target": "w", "retry": {"maxAttempts": 2, "backoffMs": 1}},
    )
    until_now(log.exists, "the job on its worker")
    os.kill(gateway.running(fired)["pid"], signal.SIGKILL)
    until_now(lambda: "asked" in log.read_text(), "the second attempt, which ends the first")
    before = gateway.call("console_list_jobs", options={"cluster": "jobs"})["total"]
    carrier = gateway.running(fired)["pid"]
    client = Caller(gateway.home)
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        cancelled = pool.submit(client.cancel, fired, graceMs=20_000)
        stack.callback(client.hang_up)
        until_now(lambda: _ignores(carrier, signal.SIGTERM), "its being told")
        gate.touch()
        cancelled.result()
    assert gateway.over(fired)["status"] == "cancelled"
    assert gateway.call("console_list_jobs", options={"cluster": "jobs"})["total"] == before
