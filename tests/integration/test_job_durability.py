"""Promises 1 to 6 as the command line keeps them: the daemon dies under a command."""

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.frontends import daemon as runner
from console_automation.frontends import launch
from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.chaos.crashing import serve_and_die
from tests.integration.command_line import JOB
from tests.integration.daemons import Daemon, killable, serve_as_installed
from tests.integration.job_command import Shell
from tests.integration.servers import end_everything
from tests.waiting import PATIENCE, until_now


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    with killable(home) as running:
        yield running


@pytest.fixture
def shell(daemon: Daemon, tmp_path: Path) -> Shell:
    return Shell(daemon.home, tmp_path)


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 137, 139, 255])
def test_a_wait_over_a_killed_daemon_ends_with_the_jobs_own_code(
    daemon: Daemon, shell: Shell, code: int
) -> None:
    job_id = shell.run(f"{daemon.gate.wait}; exit {code}")
    shell.running(job_id)
    with shell.begun("wait", job_id) as process:
        daemon.kill()
        daemon.start()
        daemon.gate.open()
        assert process.wait(PATIENCE) == code


def test_following_goes_on_over_a_killed_daemon_and_loses_nothing(
    daemon: Daemon, shell: Shell
) -> None:
    job_id = shell.run(f"seq 100; {daemon.gate.wait}; seq 101 200")
    with shell.begun("logs", "-f", job_id) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(100)]
        daemon.kill()
        daemon.start()
        daemon.gate.open()
        rest = process.stdout.read().splitlines(keepends=True)
        assert process.wait(PATIENCE) == 0
    assert b"".join(first + rest).split() == [b"%d" % n for n in range(1, 201)]


def test_whoever_stays_with_a_job_starts_the_next_daemon(daemon: Daemon, shell: Shell) -> None:
    with shell.begun(
        "run", "-n", "stayed", "-f", f"echo a; {daemon.gate.wait}; echo b; exit 6"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a\n"
        daemon.kill()
        daemon.hang_up()
        daemon.gate.open()
        assert process.stdout.read() == b"b\n"
        assert process.wait(PATIENCE) == 6


@pytest.mark.parametrize("code", [0, 42, 255])
def test_a_job_on_a_terminal_survives_the_daemon_with_its_output_and_exit_code(
    daemon: Daemon, shell: Shell, code: int
) -> None:
    job_id = shell.run(
        "--tty", f"tty -s && echo before; {daemon.gate.wait}; echo after; exit {code}"
    )
    shell.running(job_id)
    daemon.restart()
    daemon.gate.open()
    assert shell.job("wait", job_id).returncode == code
    assert shell.logs(job_id) == "before\nafter\n"


@pytest.mark.parametrize("side", ["before", "during", "after"])
def test_a_submission_under_which_the_daemon_dies_makes_one_job(
    home: Path, tmp_path: Path, side: str
) -> None:
    """It dies before, while or after it writes the job down, and has answered nothing."""
    fatal = partial(serve_and_die, f"{side} insert Submitted Picked", home / "passed")
    with killable(home, fatal) as daemon:
        shell = Shell(home, tmp_path)
        assert shell.job("run", "-n", "once", "echo x >> runs").returncode == 0
        assert daemon.join() == -signal.SIGKILL
        assert shell.job("wait", "once").returncode == 0
        assert (tmp_path / "runs").read_text() == "x\n"
        assert shell.json("list")["total"] == 1


def test_a_job_that_lost_its_shim_is_interrupted_and_no_wait_says_otherwise(
    daemon: Daemon, shell: Shell
) -> None:
    job_id = shell.run("sleep 600")
    shim = psutil.Process(shell.running(job_id)["pid"]).parent()
    assert shim in daemon.shims()
    shim.kill()
    done = shell.job("wait", job_id)
    assert done.returncode == 1 and "interrupted" in done.stdout
    assert shell.status(job_id)["exitCode"] is None


def test_a_timeout_first_asks_and_then_kills(daemon: Daemon, shell: Shell) -> None:
    line = "trap 'echo asked >> asked' TERM; while :; do sleep 0.01; done"
    done = shell.job("run", "-f", "-t", "300ms", line)
    assert done.returncode == 137
    assert (shell.directory / "asked").read_text() == "asked\n"


def test_a_database_that_is_damaged_is_said_plainly(daemon: Daemon, shell: Shell) -> None:
    daemon.kill()
    for file in daemon.home.glob("jobs.db*"):
        file.write_bytes(b"no database" * 1000)
    done = shell.job("list")
    assert done.returncode == 4 and "damaged" in done.stderr


def test_no_daemon_is_started_inside_of_a_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end with that job, and take the shims of others along."""
    monkeypatch.setenv("CONSOLE_AUTOMATION_RUN", "job-1.1")
    monkeypatch.setattr(launch, "_START_SECONDS", 0.1)
    try:
        with pytest.raises(DaemonUnavailable, match="job daemon start"):
            launch.connect(str(home), "cli")
        assert list(home.iterdir()) == []
    finally:
        end_everything(home)


def test_whoever_waits_for_a_daemon_inside_of_a_job_goes_on_when_one_is_started_outside(
    daemon: Daemon, shell: Shell
) -> None:
    inner = f"{' '.join(JOB)} run -n inner true"
    job_id = shell.run(f"{daemon.gate.wait}; touch asking; {inner}; echo $? > answered")
    shell.running(job_id)
    daemon.kill()
    daemon.gate.open()
    until_now((shell.directory / "asking").exists, "the nested command")
    daemon.start()
    until_now((shell.directory / "answered").exists, "its answer")
    assert shell.job("wait", job_id).returncode == 0
    assert "leftovers" not in shell.status(job_id)
    assert shell.over("inner")["status"] == "completed"
    assert daemon.is_alive


def test_a_daemon_of_before_there_was_a_command_line_makes_room(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "PROTOCOL", 1)  # of the test's own client
    with killable(home, serve_as_before) as daemon:
        job_id = daemon.submit(f"echo kept; {daemon.gate.wait}; exit 3")
        daemon.running(job_id)
        daemon.hang_up()
        shell = Shell(home, tmp_path)
        assert shell.json("status", job_id)["job"]["id"] == job_id
        assert daemon.join() == 0
        daemon.gate.open()
        assert shell.job("wait", job_id).returncode == 3
        assert shell.logs(job_id) == "kept\n"


def serve_as_before(home: Path) -> int:
    """Run a daemon that speaks the protocol of version 0.1.0."""
    introduced = runner.introduced

    def as_before(line: bytes | None) -> Any:
        known = json.loads(line or b"{}").get("hello") in ("mcp", "api")
        return introduced(line) if known else None

    runner.PROTOCOL = 1  # type: ignore[attr-defined]
    runner.introduced = as_before
    return serve_as_installed(home)
