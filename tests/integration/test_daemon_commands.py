"""`job daemon`: a daemon is started, ended, replaced and looked at, and its log is read."""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from console_automation.frontends.cli import daemon_log
from console_automation.frontends.cli.streams import Streams
from tests.integration.conftest import Gate
from tests.integration.job_command import Shell
from tests.integration.servers import configure, end_everything
from tests.processes import is_alive
from tests.waiting import PATIENCE, until_now


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Iterator[Shell]:
    configure(home)
    yield Shell(home, tmp_path, XDG_CONFIG_HOME=str(tmp_path / "config"))
    end_everything(home)


def line_of(process: "subprocess.Popen[bytes]") -> bytes:
    """The next line that it prints."""
    assert process.stdout
    assert select.select([process.stdout], [], [], PATIENCE)[0], "it prints nothing"
    return process.stdout.readline()


def pid_of(shell: Shell) -> int:
    return int(shell.json("daemon", "status")["pid"])


def test_a_daemon_is_started_once(shell: Shell) -> None:
    first = shell.job("daemon", "start")
    assert first.stdout == f"the daemon runs, pid {pid_of(shell)}\n"
    assert shell.job("daemon", "start").stdout == first.stdout


def test_its_status_is_words_for_people_and_json_for_programs(shell: Shell) -> None:
    shell.job("daemon", "start")
    said = shell.job("daemon", "status").stdout
    assert f"pid {pid_of(shell)}" in said and str(shell.home) in said
    answer = shell.json("daemon", "status")
    assert answer["running"] is True and answer["home"] == str(shell.home)


def test_none_is_started_to_say_that_none_is_running(shell: Shell) -> None:
    for words in (["daemon", "status"], ["daemon", "status", "--json"]):
        assert shell.job(*words).returncode == 1
    assert shell.json("daemon", "status") == {"running": False, "home": str(shell.home)}
    assert "no daemon is running" in shell.job("daemon", "stop").stdout
    assert not (shell.home / "daemon.log").exists()


def test_a_restart_ends_the_daemon_and_leaves_the_jobs(shell: Shell, gate: Gate) -> None:
    job = shell.running(shell.run(f"{gate.wait}; exit 7"))
    before = pid_of(shell)
    assert shell.job("daemon", "restart").returncode == 0
    assert not is_alive(before) and is_alive(job["pid"]) and pid_of(shell) != before
    gate.open()
    assert shell.over(job["id"])["exitCode"] == 7


def test_a_daemon_that_dies_while_it_is_stopped_has_ended(shell: Shell, gate: Gate) -> None:
    shell.job("daemon", "start")
    (shell.home / "config.toml").write_text('on_shutdown = "drain"\n')
    shell.job("daemon", "restart")
    shell.running(shell.run(gate.wait))
    pid = pid_of(shell)
    with shell.begun("daemon", "stop") as stopping:
        until_now(lambda: "ending" in (shell.home / "daemon.log").read_text(), "the end")
        os.kill(pid, signal.SIGKILL)
        assert stopping.wait(PATIENCE) == 0
    gate.open()


@pytest.mark.parametrize("reads", [True, False])
def test_a_daemon_that_ends_before_it_answers_has_ended(shell: Shell, reads: bool) -> None:
    (shell.home / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(shell.home / "run/daemon.sock"))
        listening.listen()
        with shell.begun("daemon", "stop") as stopping:
            line, _ = listening.accept()
            with line, line.makefile("rb") as asked:
                asked.readline()
                line.sendall(b'{"ok": true}\n')
                assert not reads or b"stop" in asked.readline()
            assert stopping.wait(PATIENCE) == 0


def test_the_log_is_shown_with_its_older_part_or_its_last_lines(shell: Shell) -> None:
    (shell.home / "daemon.log.1").write_text("one\ntwo\n")
    (shell.home / "daemon.log").write_text("three\n\x1b[31mfour\x1b[0m\x07")
    assert shell.job("daemon", "logs").stdout == "one\ntwo\nthree\nfour"
    assert shell.job("daemon", "logs", "--tail", "3").stdout == "two\nthree\nfour"
    assert shell.job("daemon", "logs", "--tail", "0").stdout == ""
    assert shell.job("daemon", "logs", "--tail", "-1").returncode == 2


def test_a_log_that_is_not_there_is_said_to_be_missing(shell: Shell) -> None:
    done = shell.job("daemon", "logs")
    assert done.returncode == 1 and "no log yet" in done.stderr


def test_a_log_is_followed_from_before_its_beginning_and_over_rotations(shell: Shell) -> None:
    log, seen = shell.home / "daemon.log", []
    with shell.begun("daemon", "logs", "-f", bufsize=0) as process:
        for number in range(3):
            with log.open("a") as file:
                print("first", number, file=file, flush=True)
                seen.append(line_of(process))
                print("last", number, file=file)
            log.rename(f"{log}.1")
            seen.append(line_of(process))
        log.write_text("after\n")
        seen.append(line_of(process))
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert b"".join(seen).split(b"\n") == [
        *(b"first 0", b"last 0", b"first 1", b"last 1", b"first 2", b"last 2", b"after", b"")
    ]


def test_what_comes_between_the_last_look_and_a_rotation_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("")
    is_current = daemon_log._is_current

    def rotating(path: str, open_one: BinaryIO | None) -> bool:
        if log.stat().st_size:
            raise KeyboardInterrupt
        log.write_text("just before\n")
        log.rename(f"{log}.1")
        log.write_text("after\n")
        return is_current(path, open_one)

    monkeypatch.setattr(daemon_log, "_is_current", rotating)
    with pytest.raises(KeyboardInterrupt):
        daemon_log.follow(Streams(), str(log), log.open("rb"))
    assert capsys.readouterr().out == "just before\nafter\n"


def test_a_followed_log_begins_with_the_lines_asked_for(shell: Shell) -> None:
    (shell.home / "daemon.log").write_text("".join(f"{n}\n" for n in range(100)))
    with shell.begun("daemon", "logs", "-f", "--tail", "2", bufsize=0) as process:
        assert [line_of(process) for _ in range(2)] == [b"98\n", b"99\n"]


@pytest.mark.parametrize("name", ["start", "stop", "restart", "status", "logs", "install"])
def test_each_has_a_help_with_an_example(shell: Shell, name: str) -> None:
    said = shell.job("daemon", name, "--help").stdout
    assert f"example:\n  job daemon {name}" in said
