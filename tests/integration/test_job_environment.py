"""What a job has of its caller's environment, and where that can be seen.

A person's command line passes on everything, as a shell does; AI clients only what a setting names. What
a job has from being one is its own, also if its caller is one.
"""

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from console_automation.frontends import launch
from console_automation.frontends.handshake import PROTOCOL
from tests.integration.conftest import Gate
from tests.integration.daemons import killable
from tests.integration.job_command import Shell
from tests.integration.servers import Server, serving

LISTED = "console_list_jobs"
OF_A_RUN = ("RUN", "REPORT", "ENV", "ZDOTDIR", "LOGIN", "RC")


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(server.home, tmp_path)


def environment_of(shell: Shell, *options: str) -> dict[str, str]:
    """Start a job that prints its environment, and return that."""
    job_id = shell.run(*options, "--", "env", "-0")
    assert shell.over(job_id)["status"] == "completed"
    return parsed(shell.logs(job_id, "--raw"), "\0")


def parsed(printed: str, end: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in printed.split(end) if each)
    return {name: value for name, _, value in pairs}


def through_hello(home: Path, environment: dict[str, str], *, command_line: bool) -> dict[str, str]:
    """The same of a job that is started over the daemon's socket by a client of some kind."""
    hello = {
        "hello": "api",
        "protocol": PROTOCOL,
        "commandLine": command_line,
        "version": "0",
        "pid": 1,
        "cwd": "/",
        "environment": {"PATH": os.environ["PATH"], **environment},
    }
    line = launch.dial(str(home))
    assert line is not None
    with line:
        assert launch.exchange(line, hello)["ok"]
        arguments = {"command": "env"}
        asked = {"operation": "console_execute_command", "arguments": arguments}
        output: str = launch.exchange(line, asked)["view"]["output"]
    return parsed(output, "\n")


@pytest.mark.parametrize("terminal", [(), ("--tty",)], ids=["pipes", "terminal"])
def test_a_job_of_the_command_line_has_all_that_its_caller_has(
    shell: Shell, terminal: tuple[str, ...]
) -> None:
    mine = {
        "API_KEY": "k",
        "EMPTY": "",
        "LINES_": "one\ntwo",
        "O DD": "a=b",
        "BASH_FUNC_f%%": "() {",
    }
    shell.environment |= mine
    found = environment_of(shell, *terminal)
    expected = {name: shell.environment[name] for name in (*mine, "PATH", "HOME")}
    if terminal:
        expected["LINES_"] = "one\r\ntwo"  # as terminals print it
    assert {name: found[name] for name in expected} == expected


def test_it_has_the_bytes_that_its_caller_has_in_names_too(shell: Shell) -> None:
    name, value = "N\udcfe\u00fc", "\udcff\u00fc\udc80"
    shell.environment[name] = value
    found = environment_of(shell)
    assert found[name] == value


def test_those_bytes_outlive_a_daemon(home: Path, tmp_path: Path) -> None:
    with killable(home, max_concurrent_jobs=1) as daemon:
        shell = Shell(home, tmp_path)
        first = shell.run(daemon.gate.wait)
        shell.environment["ODD\udcfe"] = "\udcff"
        second = shell.run("--", "env", "-0")
        shell.running(first)
        daemon.restart()
        daemon.gate.open()
        assert shell.over(second)["status"] == "completed"
        assert parsed(shell.logs(second, "--raw"), "\0")["ODD\udcfe"] == "\udcff"


def test_what_a_job_has_from_being_one_is_its_own(shell: Shell) -> None:
    given = {f"CONSOLE_AUTOMATION_{name}": "of another" for name in OF_A_RUN}
    shell.environment |= given
    job_id = shell.run("env")
    shell.over(job_id)
    found = parsed(shell.logs(job_id), "\n")
    assert found["CONSOLE_AUTOMATION_RUN"] == f"{job_id}.1"
    assert found["CONSOLE_AUTOMATION_HOME"] == str(shell.home)
    assert "of another" not in found.values()


def test_ai_clients_pass_on_what_a_setting_names(server: Server) -> None:
    given = {"LANG": "C", "LC_ALL": "C", "API_KEY": "secret"}
    assert through_hello(server.home, given, command_line=True)["API_KEY"] == "secret"
    assert "API_KEY" not in (found := through_hello(server.home, given, command_line=False))
    assert (found["LANG"], found["LC_ALL"]) == ("C", "C")


def test_so_does_the_command_line_if_that_is_wanted(home: Path, tmp_path: Path) -> None:
    with serving(home, cli_environment="PATH MY_*", environment="PATH *"):
        shell = Shell(home, tmp_path, MY_OWN="a", MY_="b", NOT_MY_OWN="c", HOME="/nowhere")
        found = environment_of(shell)
        assert {name for name in found if "MY_" in name} == {"MY_OWN", "MY_"}
        assert "PATH" in found and "HOME" not in found
        # What a setting says of AI clients holds in the same way, and so does what stays behind.
        given = {"API_KEY": "k", "CONSOLE_AUTOMATION_LOGIN": "of another"}
        assert (other := through_hello(home, given, command_line=False))["API_KEY"] == "k"
        assert "CONSOLE_AUTOMATION_LOGIN" not in other


def test_an_environment_beyond_the_systems_limits_is_refused_and_said_to_be_it(
    shell: Shell,
) -> None:
    before = shell.json("list", "--all")["total"]
    shell.environment |= {f"BIG{number}": "x" * 125_000 for number in range(13)}
    done = shell.job("run", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "environment" in done.stderr and len(done.stderr) < 500
    assert shell.json("list", "--all")["total"] == before
    for number in range(13):
        del shell.environment[f"BIG{number}"]
    shell.environment["BIG"] = "x" * 125_000
    assert environment_of(shell)["BIG"] == shell.environment["BIG"]


def test_one_variable_beyond_what_exec_takes_is_refused(server: Server) -> None:
    hello = {"BIG": "x" * 200_000}
    with pytest.raises(KeyError):  # there is an error instead of output
        through_hello(server.home, hello, command_line=True)


def test_nobody_is_shown_a_jobs_environment(home: Path, tmp_path: Path, gate: Gate) -> None:
    """But for the database, where it is needed (docs/security.md)."""
    secret = "canary-5b1f"
    with serving(home, log_level="debug") as server:
        shell = Shell(home, tmp_path, SECRET=secret)
        running = shell.run("-n", "one", gate.wait)
        over = shell.run("echo $SECRET | wc -c")
        shell.over(over)
        shell.job("run", "-n", "one", "true")  # refused
        seen: list[Any] = [
            server.call(LISTED),
            server.call("console_get_job_status", jobId=running),
            server.call("console_get_job_output", jobId=over),
            server.call("console_retry_job", jobId=over),
            server.ask("metrics"),
            *(shell.job(*words).stdout for words in (["list"], ["status", running], ["metrics"])),
        ]
        gate.open()
        shell.over(running)
        assert secret not in json.dumps(seen)
    assert secret not in (home / "daemon.log").read_text()
    with closing(sqlite3.connect(home / "jobs.db")) as database:
        for table in ("audit", "journal"):
            rows = database.execute(f"SELECT * FROM {table}").fetchall()
            assert rows and secret not in repr(rows)
        clients = {each for (each,) in database.execute("SELECT DISTINCT client FROM audit")}
    assert all(client.startswith("cli:") for client in clients)
    found = subprocess.run(["grep", "-rlF", secret, home], capture_output=True, check=False)
    kept = {Path(os.fsdecode(line)).name for line in found.stdout.splitlines()}
    assert kept <= {"jobs.db", "jobs.db-wal"}
    for path in home.glob("jobs.db*"):
        assert path.stat().st_mode & 0o077 == 0
