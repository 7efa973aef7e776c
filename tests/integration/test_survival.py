"""Promise 5: running jobs survive `kill -9` of the daemon and of the launcher, with output and exit.

The gate is what the jobs wait for: while it is shut they run, so a test knows what was alive when
something was killed.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from console_automation.frontends import launch
from tests.integration.daemons import (
    Caller,
    Daemon,
    Gate,
    kill_both,
    kill_the_daemon,
    kill_the_launcher,
    killable,
)
from tests.integration.servers import configure, end_everything
from tests.processes import is_alive
from tests.waiting import until_now

#: How a command may end, and what has to be known of that: status, exit code, signal.
ENDS: dict[str, tuple[str, int | None, str | None]] = {
    "exit 0": ("completed", 0, None),
    "exit 1": ("failed", 1, None),
    "exit 42": ("failed", 42, None),
    "exit 126": ("failed", 126, None),
    "exit 127": ("failed", 127, None),
    "exit 137": ("failed", 137, None),
    "exit 139": ("failed", 139, None),
    "exit 255": ("failed", 255, None),
    "kill -TERM $$": ("failed", None, "SIGTERM"),
    "kill -KILL $$": ("failed", None, "SIGKILL"),
    "kill -SEGV $$": ("failed", None, "SIGSEGV"),
}


@pytest.mark.parametrize("kill", [kill_the_daemon, kill_the_launcher, kill_both])
@pytest.mark.parametrize("when", ["while nobody looks", "after the restart"])
def test_output_and_exit_of_running_jobs_survive(
    home: Path, kill: Callable[[Daemon], None], when: str
) -> None:
    with killable(home, max_concurrent_jobs=len(ENDS)) as daemon:
        jobs = {
            end: daemon.submit(f"echo before; {daemon.gate.wait}; echo after; echo err >&2; {end}")
            for end in ENDS
        }
        pids = [daemon.running(job)["pid"] for job in jobs.values()]
        kill(daemon)
        if when == "while nobody looks":
            daemon.gate.open()
            until_now(lambda: not any(map(is_alive, pids)), "the end of every command")
        if not daemon.is_alive:
            daemon.start()
        daemon.gate.open()
        for end, expected in ENDS.items():
            job = daemon.over(jobs[end])
            assert (job["status"], job["exitCode"], job.get("signal")) == expected, job
            printed = daemon.output(jobs[end])
            assert sorted(printed.split()) == ["after", "before", "err"], (end, printed)
            assert printed.index("before") < printed.index("after")


def test_no_line_of_a_job_that_prints_all_the_time_is_lost_or_repeated(
    home: Path, gate: Gate
) -> None:
    counting = f"i=0; while [ ! -e {home}/enough ]; do echo $i; i=$((i+1)); sleep 0.001; done"
    with killable(home) as daemon:
        job = daemon.submit(counting)
        for kill in (kill_the_daemon, kill_both, kill_the_launcher, kill_the_daemon):
            seen = len(daemon.output(job))
            until_now(lambda seen=seen: len(daemon.output(job)) > seen, "more output")
            kill(daemon)
            if not daemon.is_alive:
                daemon.start()
        (home / "enough").touch()
        assert daemon.over(job)["exitCode"] == 0
        lines = daemon.output(job).split()
        assert lines == [str(number) for number in range(len(lines))]


def test_a_job_takes_its_input_from_the_next_daemon(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit("read a; read b; echo $b $a", keepStdin=True)
        daemon.running(job)
        daemon.call("console_send_job_input", jobId=job, input="one\n")
        daemon.restart()
        until_now(lambda: taken(daemon, job, "two\n"), "the job's stdin")
        assert daemon.over(job)["exitCode"] == 0
        assert daemon.output(job) == "two one\n"


def test_a_job_on_a_terminal_is_typed_to_through_the_next_daemon(home: Path) -> None:
    line = "stty -echo; echo ready; read a; read b; echo $b $a; cat; stty size; exit 6"
    with killable(home) as daemon:
        job = daemon.submit(line, terminal={"cols": 66, "rows": 22})
        pid = daemon.running(job)["pid"]
        until_now(lambda: "ready" in daemon.output(job), "a terminal without echo")
        daemon.call("console_send_job_input", jobId=job, input="one\n")
        daemon.restart()
        assert daemon.job(job)["terminal"] == {"cols": 66, "rows": 22}
        until_now(lambda: taken(daemon, job, "two\n"), "the job's terminal")
        assert daemon.running(job)["pid"] == pid
        daemon.call("console_send_job_input", jobId=job, input="", eof=True)
        assert daemon.over(job)["exitCode"] == 6
        assert daemon.output(job).replace("\r", "") == "ready\ntwo one\n22 66\n"


def taken(daemon: Caller, job: str, text: str) -> bool:
    """Whether the input was accepted; the shim may not have dialled the new daemon yet."""
    answer = daemon.ask(
        {
            "operation": "console_send_job_input",
            "arguments": {"jobId": job, "input": text},
        }
    )
    return not answer["isError"]


def test_a_job_runs_on_through_a_whole_row_of_dead_daemons(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit(f"echo before; {daemon.gate.wait}; echo after; exit 42")
        pid = daemon.running(job)["pid"]
        for _ in range(5):
            daemon.restart()
            assert daemon.running(job)["pid"] == pid
        daemon.gate.open()
        assert daemon.over(job)["exitCode"] == 42
        assert daemon.output(job) == "before\nafter\n"
        assert daemon.job(job)["attempt"] == 1


class StartingCaller(Caller):
    """A client that starts the daemon when there is none."""

    def dial(self) -> bool:
        if self._line is None:
            self._line = launch.connect(str(self.home), "api")
        return True


def test_the_daemon_that_the_command_line_starts_survives_the_same(home: Path) -> None:
    """The other tests fork their daemons; here a client starts them, as clients do."""
    configure(home)
    client, gate = StartingCaller(home), Gate(home / "gate")
    try:
        job = client.submit(f"echo before; {gate.wait}; echo after; exit 42")
        client.running(job)
        daemon = client.ask({"ask": "status"})["pid"]
        os.kill(daemon, signal.SIGKILL)
        client.hang_up()
        gate.open()
        assert client.over(job)["exitCode"] == 42
        assert client.ask({"ask": "status"})["pid"] != daemon
        assert client.output(job) == "before\nafter\n"
    finally:
        client.hang_up()
        gate.close()
        end_everything(home)
