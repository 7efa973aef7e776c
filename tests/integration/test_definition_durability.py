"""Typed jobs under crashes: what they told and what they came to is kept, each once.

Promise 5: running jobs survive the daemon. Promise 8: an end that can be seen has its result.
"""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.chaos.crashing import serve_and_die
from tests.integration.daemons import Daemon, killable, serve_as_installed
from tests.integration.job_command import Shell
from tests.waiting import until_now

DEFINITION: dict[str, Any] = {
    "name": "teller",
    "command": """tell() { echo "$1" >> $CONSOLE_AUTOMATION_PROGRESS; }
        tell '{"log": "before"}'; tell '{"progress": 1, "total": 2}'
        while [ ! -e "$GATE" ]; do sleep 0.01; done
        [ ! -s "$GATE" ] || { tell '{"log": "after"}'; tell '{"progress": 2, "total": 2}'; }
        echo '{"n": 5}' > $CONSOLE_AUTOMATION_RESULT""",
    "environment": {"GATE": "{gate}"},
    "inputSchema": {"properties": {"gate": {"type": "string"}}, "required": ["gate"]},
    "outputSchema": {"properties": {"n": {"type": "integer"}}, "required": ["n"]},
}


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    with killable(home) as running:
        yield running


def started(daemon: Daemon, gate: Path) -> str:
    """Register the definition, start its job and return its id once it has told something."""
    daemon.call("console_register_job", **DEFINITION)
    asked = {"name": "teller", "input": {"gate": str(gate)}, "background": True}
    job_id: str = daemon.call("console_execute_job", **asked)["jobId"]

    def told() -> bool:
        job = daemon.call("console_get_job_status", jobId=job_id)["job"]
        return job.get("logs") == ["before"] and "progress" in job

    until_now(told, "its first words")
    return job_id


def open_to_tell(place: Path) -> None:
    """Open the gate with something in it, both at once: the job goes on as soon as it is there."""
    (place / "new").write_text("and tell")
    (place / "new").rename(place / "gate")


def check_end(daemon: Daemon, job_id: str, log: list[str], done: int) -> None:
    def over() -> bool:
        found = daemon.call("console_get_job_result", jobId=job_id, waitMs=1000)
        return found["status"] not in ("pending", "running")

    until_now(over, "its end")
    result = daemon.call("console_get_job_result", jobId=job_id)
    assert (result["status"], result["result"]) == ("completed", {"n": 5})
    job = daemon.call("console_get_job_status", jobId=job_id)["job"]
    assert job["logs"] == log and job["progress"] == {"done": done, "total": 2}


def test_a_typed_job_outlives_the_daemon_with_all_it_told_and_its_result(
    daemon: Daemon, tmp_path: Path
) -> None:
    job_id = started(daemon, tmp_path / "gate")
    daemon.restart()
    assert daemon.call("console_get_job_status", jobId=job_id)["job"]["logs"] == ["before"]
    open_to_tell(tmp_path)
    check_end(daemon, job_id, ["before", "after"], 2)
    daemon.restart()
    check_end(daemon, job_id, ["before", "after"], 2)
    assert daemon.call("console_list_job_definitions", name="teller")["total"] == 1


def test_one_that_ends_while_there_is_no_daemon_has_its_result(
    daemon: Daemon, tmp_path: Path
) -> None:
    job_id = started(daemon, tmp_path / "gate")
    pid = daemon.running(job_id)["pid"]
    daemon.kill()
    open_to_tell(tmp_path)
    until_now(lambda: not Path(f"/proc/{pid}").exists(), "the end of the command")
    daemon.start()
    check_end(daemon, job_id, ["before", "after"], 2)


@pytest.mark.parametrize(
    "point",
    [
        "before run_exited",
        "before update Exited",
        "during update Exited",
        "after update Exited",
        "before confirm",
        "after confirm",
    ],
)
def test_a_daemon_that_dies_over_the_end_keeps_result_and_log(
    home: Path, tmp_path: Path, point: str
) -> None:
    gate = tmp_path / "gate"
    with killable(home, partial(serve_and_die, point, home / "passed")) as daemon:
        job_id = started(daemon, gate)
        gate.touch()
        assert daemon.join() == -signal.SIGKILL
        daemon.start(serve_as_installed)
        check_end(daemon, job_id, ["before"], 1)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_key_makes_one_typed_job_whoever_dies_over_it(
    home: Path, tmp_path: Path, side: str
) -> None:
    step = f"{side} insert Submitted Picked"
    with killable(home, partial(serve_and_die, step, home / "passed")) as daemon:
        daemon.call(
            "console_register_job",
            name="once",
            command="echo x >> $F",
            environment={"F": "{file}"},
            inputSchema={"properties": {"file": {"type": "string"}}},
        )
        asked = {"name": "once", "input": {"file": str(tmp_path / "runs")}, "idempotencyKey": "k"}
        with pytest.raises(DaemonUnavailable):
            daemon.call("console_execute_job", **asked)
        daemon.join()
        daemon.start(serve_as_installed)
        begun = daemon.call("console_execute_job", **asked)
        shell = Shell(home, tmp_path)
        assert shell.over(begun["jobId"])["status"] == "completed"
        assert (tmp_path / "runs").read_text() == "x\n"
