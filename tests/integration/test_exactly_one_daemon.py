"""Promise 24: exactly one daemon per state directory, and what a dead one left behind heals.

Also: a state directory that is somebody else's is refused, one that others may enter is closed to them.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console_automation.adapters.state_directory import StateDirectory
from console_automation.errors import Unavailable
from console_automation.frontends import launch
from tests.integration.daemons import killable
from tests.integration.servers import (
    PROGRAM,
    ask,
    configure,
    end_everything,
    environment,
    processes_of,
)
from tests.waiting import PATIENCE, until_now

TWENTY = 20

#: Processes, everything loaded, that do what `console-automation daemon run` does at one sign. It is
#: said on stdout how each ended, and each has a file for what it complains about.
DAEMONS = """
import os, sys
from console_automation.__main__ import main
from console_automation.frontends import cli, daemon

count, errors = int(sys.argv[1]), sys.argv[2]
sys.argv = ["console-automation", "daemon", "run"]
waiting, sign = os.pipe()
for number in range(count):
    if os.fork() == 0:
        os.close(sign)
        os.read(waiting, 1)
        os.dup2(os.open(f"{errors}/{number}", os.O_WRONLY | os.O_CREAT), 2)
        os._exit(main())
os.close(sign)
for _ in range(count):
    pid, status = os.wait()
    print(pid, os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture
def clean_home(home: Path) -> Iterator[Path]:
    """A state directory that no process belongs to afterwards."""
    configure(home)
    yield home
    end_everything(home)


def daemons_of(home: Path) -> list[int]:
    """Return the processes that run as daemons on this state directory."""
    words = b"\0daemon\0run\0"
    found = processes_of(home)
    return [pid for pid in found if words in Path(f"/proc/{pid}/cmdline").read_bytes()]


def who_serves(home: Path) -> int | None:
    """Return the pid of the daemon that answers, without starting one."""
    try:
        line = launch.greet(str(home), "api")
    except launch.DaemonSilent:
        return None
    if line is None:
        return None
    with line:
        return int(launch.exchange(line, {"ask": "status"})["pid"])


def test_of_twenty_daemons_started_at_once_one_serves_and_the_others_say_why_not(
    clean_home: Path, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DAEMONS, str(TWENTY), tmp_path],
        env=environment(clean_home),
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout
        ended = dict(starter.stdout.readline().split() for _ in range(TWENTY - 1))
        assert set(ended.values()) == {"4"}
        serving = until_now(lambda: who_serves(clean_home), "the daemon to answer")
        assert str(serving) not in ended
        assert json.loads((clean_home / "daemon.lock").read_text())["pid"] == serving
        os.kill(serving, signal.SIGTERM)
        assert starter.stdout.readline().split() == [str(serving), "0"]
    said = [(tmp_path / str(number)).read_text() for number in range(TWENTY)]
    refusals = [each for each in said if "is in use by another process" in each]
    assert len(refusals) == TWENTY - 1
    for refusal in refusals:
        assert "daemon stop" in refusal and "Traceback" not in refusal and "()" not in refusal


def test_twenty_bridges_at_once_start_one_daemon(clean_home: Path) -> None:
    leave_stale_files(clean_home)
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"},
        },
    }
    bridges = [
        subprocess.Popen(
            [*PROGRAM, "mcp"],
            env=environment(clean_home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(TWENTY)
    ]
    try:
        for bridge in bridges:
            assert bridge.stdin and bridge.stdout
            bridge.stdin.write(json.dumps(hello) + "\n")
            bridge.stdin.flush()
        for bridge in bridges:
            assert bridge.stdout
            assert json.loads(bridge.stdout.readline())["result"]["serverInfo"]
        status = ask(clean_home, {"ask": "status"})
        assert status["connections"] == TWENTY + 1
        assert daemons_of(clean_home) == [status["pid"]]
        assert (clean_home / "daemon.log").read_text().count("is ready") == 1
    finally:
        for bridge in bridges:
            bridge.communicate(timeout=PATIENCE)
    assert {bridge.returncode for bridge in bridges} == {0}


def test_a_client_that_comes_while_a_daemon_is_starting_is_served_by_that_one(
    clean_home: Path,
) -> None:
    with subprocess.Popen(
        [*PROGRAM, "daemon"], env=environment(clean_home), stderr=subprocess.DEVNULL
    ) as starting:
        try:
            until_now((clean_home / "daemon.lock").exists)
            assert ask(clean_home, {"ask": "status"})["pid"] == starting.pid
        finally:
            starting.terminate()


def test_a_daemon_takes_neither_code_nor_its_place_from_the_directory_of_its_client(
    clean_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "console_automation").mkdir()
    (tmp_path / "console_automation" / "__init__.py").write_text("raise SystemExit('hijacked')")
    program = Path(sys.executable).with_name("console-automation")
    done = subprocess.run(
        [program, "metrics"],
        cwd=tmp_path,
        env=environment(clean_home),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    [daemon] = daemons_of(clean_home)
    assert os.readlink(f"/proc/{daemon}/cwd") == "/"


# -- what a dead one left behind -----------------------------------------------------------------


def leave_stale_files(home: Path, lock: bytes = b"") -> None:
    """Leave what a daemon leaves that was killed: sockets nobody listens on, and its lock file."""
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    for name in ("daemon.sock", "shims.sock"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(home / "run" / name))
    (home / "start.lock").touch()
    (home / "daemon.lock").write_bytes(lock)


def test_a_killed_daemon_is_followed_by_the_next_while_its_jobs_go_on(home: Path) -> None:
    with killable(home) as daemon:
        job_id = daemon.submit(daemon.gate.wait + "; exit 42")
        daemon.running(job_id)
        for _ in range(3):
            dead = daemon.pid
            daemon.kill()
            assert (home / "run" / "daemon.sock").is_socket()
            assert json.loads((home / "daemon.lock").read_text())["pid"] == dead
            daemon.start()
            assert daemon.ask({"ask": "status"})["pid"] == daemon.pid != dead
        assert json.loads((home / "daemon.lock").read_text())["pid"] == daemon.pid
        daemon.gate.open()
        assert daemon.over(job_id)["exitCode"] == 42


def test_a_lock_file_that_names_a_living_stranger_locks_nobody_out(home: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        try:
            named = json.dumps({"pid": stranger.pid, "version": "0", "since": 0})
            leave_stale_files(home, named.encode() + b"\n" + b"\xff\0" * 5000)
            with killable(home) as daemon:
                assert daemon.ask({"ask": "status"})["pid"] == daemon.pid
                assert json.loads((home / "daemon.lock").read_text())["pid"] == daemon.pid
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_second_holder_is_told_who_the_first_is_and_has_the_lock_when_that_is_gone(
    home: Path,
) -> None:
    first, second = StateDirectory(home), StateDirectory(home)
    first.acquire()
    with pytest.raises(Unavailable, match=rf"in use by another process \(pid {os.getpid()},"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


# -- whose directory it is -----------------------------------------------------------------------


def make_foreign(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a directory to another user")
    path.mkdir(exist_ok=True)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("words", [["daemon", "run"], ["mcp"], ["metrics"]], ids=" ".join)
def test_nothing_starts_in_a_state_directory_of_another_user(home: Path, words: list[str]) -> None:
    make_foreign(home)
    ended = subprocess.run(
        [*PROGRAM, *words],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "console-automation: " in ended.stderr and "Traceback" not in ended.stderr
    assert f"{home} does not belong to this user" in ended.stderr
    assert list(home.iterdir()) == []


def test_a_directory_for_sockets_that_another_user_made_first_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    deep = tmp_path / ("deep" * 25)
    runtime = StateDirectory(deep).runtime
    assert runtime.parent == home
    make_foreign(runtime)
    with pytest.raises(Unavailable, match=f"{runtime} does not belong to this user"):
        StateDirectory(deep).acquire()


def test_a_link_to_a_directory_is_not_taken_for_one(home: Path, tmp_path: Path) -> None:
    link = home / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(Unavailable, match="does not belong to this user"):
        StateDirectory(link).acquire()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_state_directory_is_refused_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(Unavailable, match="cannot be used"):
        StateDirectory(tmp_path / "file").acquire()
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o710, 0o1777])
def test_a_directory_that_others_may_enter_is_closed_to_them(home: Path, mode: int) -> None:
    state = StateDirectory(home)
    state.runtime.mkdir()
    for path in (home, state.runtime):
        path.chmod(mode)
    state.acquire()
    state.release()
    for path in (home, state.runtime):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "daemon.lock").stat().st_mode) == 0o600


def test_nobody_else_may_enter_any_directory_that_a_daemon_makes(home: Path) -> None:
    with killable(home) as daemon:
        daemon.over(daemon.submit("echo printed"))
        directories = [path for path in (home, *home.rglob("*")) if path.is_dir()]
        assert {path.name for path in directories} >= {home.name, "run", "runs"}
        for path in directories:
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
