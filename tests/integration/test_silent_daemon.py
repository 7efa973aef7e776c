"""A daemon that is alive and does not answer, and Ctrl-C before it has: what a person is told of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console_automation.frontends import launch
from console_automation.frontends.client import Client
from tests.integration.daemons import Daemon, killable
from tests.integration.job_command import Shell
from tests.integration.live_shell import hear_signals
from tests.waiting import PATIENCE

#: `job`, which loses its patience sooner
HASTY = """
import sys
from console_automation.frontends import launch
launch.SILENT_SECONDS = launch.LOOK_SECONDS = 0.2
from console_automation.frontends.cli.program import JOB
sys.exit(JOB.main(sys.argv[1:]))
"""
#: a program that is interrupted when it imports a module
INTERRUPTED = """
import runpy, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == module:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder)
module, sys.argv[1:] = sys.argv[1], ["status"]
"""


@pytest.fixture(scope="module")
def daemon(module_home: Path) -> Iterator[Daemon]:
    with killable(module_home) as running:
        yield running


@pytest.fixture
def stopped(daemon: Daemon) -> Iterator[Daemon]:
    os.kill(daemon.pid, signal.SIGSTOP)
    yield daemon
    os.kill(daemon.pid, signal.SIGCONT)


def hasty(home: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HASTY, *words],
        env={**os.environ, "CONSOLE_AUTOMATION_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_command_says_that_the_daemon_does_not_answer_and_goes_on_waiting(
    stopped: Daemon,
) -> None:
    with hasty(stopped.home, "status") as process:
        assert process.stderr
        said = process.stderr.readline()
        assert f"pid {stopped.pid}" in said and "does not answer" in said
        assert f"kill -CONT {stopped.pid}" in said and process.poll() is None
        os.kill(stopped.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "") and "slots" in out


def test_a_daemon_that_is_stopped_between_two_questions_is_waited_for(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "SILENT_SECONDS", 0.02)
    monkeypatch.setattr(launch, "LOOK_SECONDS", 0.02)
    said = []

    def heard(text: str) -> None:
        said.append(text)
        os.kill(daemon.pid, signal.SIGCONT)

    with Client(str(daemon.home), heard) as client:
        client.ask({"ask": "status"})
        os.kill(daemon.pid, signal.SIGSTOP)
        assert client.ask({"ask": "status"})["pid"] == daemon.pid
    assert len(said) == 1 and f"pid {daemon.pid}" in said[0]


def test_a_daemon_that_is_at_work_on_a_question_is_not_silent(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "SILENT_SECONDS", 0.02)
    said: list[str] = []
    job_id = daemon.submit(daemon.gate.wait)
    with Client(str(daemon.home), said.append) as client:
        asked = {"jobIds": [job_id], "timeout": 200}
        assert client.call("console_wait_for_jobs", asked)["unfinished"] == [job_id]
    assert said == []
    daemon.cancel(job_id, graceMs=0)


@pytest.mark.parametrize("words", [("doctor",), ("daemon", "status")])
def test_who_looks_after_the_daemon_is_told_that_it_does_not_answer(
    stopped: Daemon, words: tuple[str, ...]
) -> None:
    with hasty(stopped.home, *words) as process:
        said = "".join(process.communicate(timeout=PATIENCE))
    assert process.returncode in (1, 4)
    assert f"the daemon, pid {stopped.pid}," in said and f"kill -CONT {stopped.pid}" in said


def test_ctrl_c_while_the_daemon_is_dialled_ends_the_command_quietly(
    home: Path, tmp_path: Path
) -> None:
    (home / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / "run/daemon.sock"))
        listening.listen()
        with Shell(home, tmp_path).begun("status") as process:
            line, _ = listening.accept()
            with line:
                assert line.recv(1), "it says hello"
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize(
    "program",
    [
        "from console_automation.__main__ import job; sys.exit(job())",
        "runpy.run_module('console_automation.frontends.cli', run_name='__main__')",
    ],
    ids=["job", "python -m"],
)
@pytest.mark.parametrize("module", ["cli.program", "client", "cli.commands.status"])
def test_ctrl_c_while_a_command_is_imported_ends_it_quietly(
    home: Path, program: str, module: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED + program, f"console_automation.frontends.{module}"],
        capture_output=True,
        check=False,
        env={**os.environ, "CONSOLE_AUTOMATION_HOME": str(home)},
        preexec_fn=hear_signals,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
