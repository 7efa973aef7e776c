"""Promise 5 for sessions: programs on terminals survive the daemon and the launcher, and the next
daemon knows all that the last one knew.

The gate is what commands wait for: while it is shut they run, so a test knows what was alive when
something was killed.
"""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemons import (
    Caller,
    Daemon,
    kill_both,
    kill_the_daemon,
    kill_the_launcher,
    killable,
)
from tests.integration.driven import Driven, open_session
from tests.processes import bearing, is_alive, new_mark, parent_of
from tests.waiting import until_now


def end_the_daemon(daemon: Daemon) -> None:
    """As for an upgrade."""
    daemon.terminate()
    assert daemon.join() == 0


KILLS = [kill_the_daemon, kill_the_launcher, kill_both, end_the_daemon]


def start_again(daemon: Daemon) -> None:
    if not daemon.is_alive:
        daemon.start()


def picture(screen: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be seen on a screen."""
    told = ("screen", "cursor", "cols", "rows", "title", "alternateScreen")
    return {name: screen[name] for name in told}


@pytest.mark.parametrize("kill", KILLS)
def test_vim_is_still_there_and_its_screen_is_drawn_as_before(
    home: Path, kill: Callable[[Daemon], None]
) -> None:
    poem = home / "poem"
    with killable(home) as daemon:
        session = open_session(daemon, home, cols=80, rows=20)
        session.type(f"vim -u NONE -i NONE -N -n {poem}", enter=True)
        session.shows("~", "poem")
        session.type("iroses are red\rviolets are blue")
        session.press("escape", "up")
        session.call("console_resize_session", cols=90, rows=25)
        session.shows("roses are red", "violets are blue")
        until_now(lambda: session.screen()["cursor"]["row"] == 0, "the cursor in the first row")
        before, pid = session.screen(), session.state()["session"]["pid"]
        assert before["alternateScreen"] and before["rows"] == 25
        kill(daemon)
        start_again(daemon)
        assert picture(session.screen()) == picture(before)
        assert session.state()["session"]["pid"] == pid
        session.press("down", "end")
        session.type("osugar is sweet")
        session.press("escape")
        session.shows("sugar is sweet")
        session.type(":wq", enter=True)
        session.until("idle")
        assert poem.read_text() == "roses are red\nviolets are blue\nsugar is sweet\n"
        assert not session.screen()["alternateScreen"]
        result = session.run(f"wc -l < {poem}; (exit 42)")
        assert (result["exitCode"], result["output"].split()[-1]) == (42, "3")
        assert session.run("exit 7")["exitCode"] == 7
        over = session.closed()
        assert (over["closing"], over["exitCode"]) == ("exited", 7)


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("when", ["while nobody looks", "after the restart"])
def test_the_exit_code_and_output_of_a_running_command_are_told_by_the_next_daemon(
    home: Path, kill: Callable[[Daemon], None], when: str
) -> None:
    done = home / "done"
    with killable(home) as daemon:
        session = open_session(daemon, home)
        line = f"echo before; {daemon.gate.wait}; echo after; touch {done}; (exit 42)"
        typed = session.execute(line, timeout=0)
        assert typed["status"] == "running"
        session.shows("before")
        kill(daemon)
        if when == "while nobody looks":
            daemon.gate.open()
            until_now(done.exists, "the end of the command")
        start_again(daemon)
        daemon.gate.open()
        over = session.over(typed["commandId"])
        assert (over["status"], over["exitCode"], over["command"]) == ("failed", 42, line)
        printed = session.printed(since=over["since"])
        assert "before\r\nafter\r\n" in printed or "before\nafter\n" in printed
        session.until("idle")
        assert session.run("echo $?")["output"].strip() == "42"  # the shell's state is its own


def test_a_session_goes_on_through_a_whole_row_of_dead_daemons(home: Path) -> None:
    with killable(home) as daemon:
        session = open_session(daemon, home)
        pid = session.state()["session"]["pid"]
        for number in range(5):
            session.until("idle")
            assert (
                session.run(f"echo {number}; x=${{x}}{number}; (exit {number})")["exitCode"]
                == number
            )
            daemon.restart()
            assert session.state()["session"]["pid"] == pid
        session.until("idle")
        assert session.run("echo $x")["output"].strip() == "01234"
        ends = [each["exitCode"] for each in session.commands().values()]
        assert ends == [0, 4, 3, 2, 1, 0]


def test_what_was_typed_ahead_reaches_the_program_though_the_daemon_dies(home: Path) -> None:
    with killable(home) as daemon:
        session = open_session(daemon, home, "cat", [])
        for number in range(20):
            session.type(f"line {number}", enter=True)
        daemon.restart()
        session.type("last", enter=True)
        session.shows("last\nlast")
        assert session.printed().replace("\r", "").count("line 7\n") == 2


@pytest.mark.parametrize("end", ["exit 5", "kill -KILL $$", "kill -HUP $$"])
def test_a_shell_that_ends_while_nobody_looks_is_closed_with_its_true_end(
    home: Path, end: str
) -> None:
    with killable(home) as daemon:
        session = open_session(daemon, home)
        pid = session.state()["session"]["pid"]
        typed = session.execute(f"{daemon.gate.wait}; {end}", timeout=0)
        daemon.kill()
        daemon.gate.open()
        until_now(lambda: not is_alive(pid), "the end of the shell")
        daemon.start()
        over = session.closed()
        number = end.split()[1].removeprefix("-")
        expected = ("exited", 5, None) if number == "5" else ("exited", None, f"SIG{number}")
        assert (over["closing"], over.get("exitCode"), over.get("signal")) == expected
        command = session.over(typed["commandId"])
        assert command["exitCode"] == (5 if number == "5" else None)
        assert command["status"] == ("failed" if number == "5" else "unknown")


def test_a_session_whose_shim_dies_is_lost_and_its_end_is_not_guessed(home: Path) -> None:
    """Promise 6, and nothing of it is left running."""
    mark = new_mark()
    with killable(home) as daemon:
        session = open_session(daemon, home)
        typed = session.execute(f"setsid sleep {mark} & sleep {mark}", timeout=0)
        until_now(lambda: len(bearing(mark)) >= 2, "the command's processes")
        os.kill(parent_of(session.state()["session"]["pid"]), signal.SIGKILL)
        over = session.closed()
        assert (over["closing"], "exitCode" in over, "signal" in over) == ("lost", False, False)
        command = session.over(typed["commandId"])
        assert (command["status"], command["exitCode"]) == ("unknown", None)
        until_now(lambda: not bearing(mark), "the end of what the shim left")


def test_an_end_that_was_asked_for_comes_though_the_daemon_dies_over_it(home: Path) -> None:
    """What ignores the hang-up is killed by the shim when the grace is over, daemon or not."""
    mark = new_mark()
    with killable(home, kill_grace_ms=300) as daemon:
        session = open_session(daemon, home)
        session.execute(f"trap '' HUP TERM; while :; do sleep {mark}; done", timeout=0)
        until_now(lambda: bearing(mark), "the command")
        other = Caller(home)
        other.dial()
        ask_and_leave(other, "console_stop_session", sessionId=session.id)
        until_now(lambda: session.state()["state"] == "closing", "the request")
        daemon.restart()
        other.hang_up()
        over = session.closed()
        assert over["closing"] == "stopped" and not bearing(mark)


def ask_and_leave(caller: Caller, operation: str, **arguments: Any) -> None:
    """Ask for something without waiting for the answer."""
    assert caller._line is not None
    request = {"operation": operation, "arguments": arguments}
    caller._line.sendall(json.dumps(request).encode() + b"\n")


def test_two_clients_drive_one_session_one_after_the_other(home: Path) -> None:
    with killable(home) as daemon:
        first, second = Caller(home), Caller(home)
        session = open_session(first, home)
        assert session.run("cd /; x='of the first'")["exitCode"] == 0
        first.hang_up()
        session.caller = second
        result = session.run('echo "$PWD $x"')
        assert (result["exitCode"], result["output"].strip()) == (0, "/ of the first")
        second.hang_up()
        session = Driven(daemon, session.id)
        assert [each["exitCode"] for each in session.commands().values()] == [0, 0]
        session.stop()
