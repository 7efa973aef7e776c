"""`job attach` in a real terminal: what it shows, what it types, and that the terminal is given back.

A person sits at a shell (`outer> `) and attaches to what a daemon holds. Each test ends with the check that
the terminal is as it was: its settings (`stty -a`), and the modes that programs switch with sequences.
"""

import fcntl
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.integration.daemons import Daemon, killable
from tests.integration.driven import Driven, open_session
from tests.integration.job_command import Shell
from tests.integration.terminals import COLS, ROWS, Console
from tests.waiting import until_now

DETACH = "\x1c"
JOB = f"{sys.executable} -m console_automation.frontends.cli"


class Person(Console):
    """Somebody at a shell in a terminal."""

    def __init__(self, home: Path, directory: Path) -> None:
        super().__init__(
            "sh",
            "-i",
            directory=directory,
            environment={"CONSOLE_AUTOMATION_HOME": str(home), "JOB": JOB, "PS1": "outer> "},
        )
        self.directory = directory
        self.until("outer>")
        self.before = self.settings()

    def settings(self) -> list[str]:
        """Return the terminal's settings, without its size."""
        file = self.directory / "settings"
        file.unlink(missing_ok=True)
        self.type(f"stty -a >{file}.new; mv {file}.new {file}; clear\r")
        until_now(lambda: self.seen().lines[0] == "outer>" and file.exists(), "the settings")
        return file.read_text().splitlines()[1:]

    def job(self, *words: str) -> None:
        """Enter a command line of `job`, which tells its exit code when it is back."""
        self.type(f"$JOB {' '.join(words)}; echo left with $?\r")

    def back(self, code: int = 0) -> str:
        """Return what the screen shows when the outer shell is back; its terminal is as it was."""
        seen = self.until(f"left with {code}\n", "outer>")
        assert not seen.alternate and seen.cursor_visible
        assert self.modes.preamble() == b""
        shown = "\n".join(seen.lines)
        assert self.settings() == self.before
        return shown

    def program(self) -> psutil.Process:
        """Return the process of `job`."""

        def found() -> psutil.Process | None:
            children = psutil.Process(self.child.pid).children()
            return children[0] if children else None

        process = until_now(found, "the process of job")
        assert process
        return process


@contextmanager
def sitting(home: Path, directory: Path) -> Iterator[Person]:
    person = Person(home, directory)
    try:
        yield person
    finally:
        person.child.close(force=True)


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    with killable(home) as running:
        yield running


@pytest.fixture
def person(daemon: Daemon, tmp_path: Path) -> Iterator[Person]:
    with sitting(daemon.home, tmp_path) as one:
        yield one


@pytest.fixture
def other(daemon: Daemon, tmp_path: Path) -> Iterator[Person]:
    (tmp_path / "other").mkdir()
    with sitting(daemon.home, tmp_path / "other") as one:
        yield one


@pytest.fixture
def session(daemon: Daemon) -> Driven:
    """A shell of the size of the terminals."""
    shell = open_session(daemon, daemon.home, cols=COLS, rows=ROWS, name="work")
    shell.run("PS1='in> '")
    return shell


def in_vim(session: Driven, daemon: Daemon) -> None:
    session.type(f"vim -u NONE -i NONE -N -n {daemon.home}/poem", enter=True)
    session.shows("~", "poem")


# -- what is shown, and what is typed --------------------------------------------------------------


def test_a_shell_is_shown_as_it_is_and_goes_on_after_detaching(
    person: Person, session: Driven
) -> None:
    session.run("cd /; x=kept; printf '\\033[31mred\\033[m\\n'")
    person.job("attach", "work")
    person.until("red")
    assert b"\x1b[31mred" in person.printed
    person.type("echo $x in $PWD\r")
    person.until("kept in /")
    person.type(DETACH)
    shown = person.back()
    assert f"job attach {session.id}" in shown
    assert person.printed.count(b"\x1b[31mred") == 1
    assert session.run("echo $x")["output"].strip() == "kept"


def test_every_byte_that_is_typed_arrives_as_it_is(
    person: Person, session: Driven, daemon: Daemon
) -> None:
    every = bytes(number for number in range(256) if number != 0x1C)
    got = daemon.home / "got"
    person.job("attach", "work")
    person.until("in>")
    session.type(
        f"stty raw -echo; echo ready; dd bs=1 count={len(every) * 3} of={got}; stty sane",
        enter=True,
    )
    person.until("ready\n")
    for data in (every, every[::-1], every):
        person.child.send(data)
    until_now(lambda: got.exists() and got.stat().st_size == 3 * len(every), "every byte")
    assert got.read_bytes() == every + every[::-1] + every
    person.type(DETACH)
    person.back()


def test_vim_is_typed_into_and_found_again_as_it_was_left(
    person: Person, session: Driven, daemon: Daemon
) -> None:
    in_vim(session, daemon)
    person.job("attach", "work")
    person.until("poem", row=ROWS - 1)
    assert person.seen().alternate
    person.type("iroses are red\rviolets are blue\x1b")
    person.until("violets are blue", row=1)
    person.press("up", "home")  # in the codes that vim has asked for
    person.until_cursor(0, 0)
    person.type(DETACH)
    person.back()
    person.job("attach", "work")
    person.until("roses are red", "violets are blue")
    assert person.seen().alternate and person.modes.application_cursor
    person.until_cursor(0, 0)
    person.press("down")
    person.until_cursor(0, 1)
    person.type("Asugar is sweet\x1b:wq\r")
    person.until_left()
    person.type(DETACH)
    person.back()
    assert (daemon.home / "poem").read_text() == "roses are red\nviolets are bluesugar is sweet\n"


def test_less_is_found_again_with_its_keys(person: Person, session: Driven) -> None:
    session.type("seq 1000 | sed 's/^/row /' | less", enter=True)
    session.shows("row 5")
    for _ in range(2):
        person.job("attach", "work")
        person.until("row 1", row=0)
        assert person.modes.application_cursor
        person.press("down")
        person.until("row 2", row=0)
        person.press("up")
        person.until("row 1", row=0)
        person.type(DETACH)
        person.back()


def test_a_paste_is_one_for_the_program(person: Person, session: Driven) -> None:
    person.job("attach", "work")
    person.until("in>")
    until_now(lambda: person.seen() and person.modes.bracketed_paste, "bracketed paste")
    person.type("\x1b[200~echo one\recho two\x1b[201~")
    person.until("echo one\necho two")
    person.type(DETACH)
    person.back()


def test_what_was_asked_or_rung_long_ago_is_not_repeated(person: Person, session: Driven) -> None:
    asked = ("\\033[6n", "\\033[>c", "\\033]52;c;aGk=\\007", "\\033]11;?\\007", "\\007")
    session.run(f"printf '{''.join(asked)}'; echo gone by")
    person.job("attach", "work")
    person.until("gone by")
    for each in (b"\x1b[6n", b"\x1b[>c", b"\x1b]52;c", b"\x1b]11;", b"\x07"):
        assert each not in person.printed
    session.type("printf '\\033[c\\033[6n'; echo n''ow", enter=True)
    person.until("now\n")
    assert b"\x1b[6n" in person.printed  # this one the terminal is to answer
    assert b"\x1b[c" not in person.printed  # the other one is answered already
    person.type(DETACH)
    person.back()


def test_the_size_of_the_window_is_that_of_the_session(person: Person, session: Driven) -> None:
    session.call("console_resize_session", cols=120, rows=40)
    session.type("seq 1000 | less", enter=True)
    session.shows("\n30\n")
    person.job("attach", "work")
    person.until("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n:")
    person.child.setwinsize(20, 100)
    person.screen.resize(100, 20)
    person.until("18\n19\n:")
    state = session.state()["session"]
    assert (state["cols"], state["rows"]) == (100, 20)
    person.type(DETACH)
    person.back()


def test_two_are_attached_at_once_and_both_see_and_type(
    person: Person, other: Person, session: Driven
) -> None:
    for each in (person, other):
        each.job("attach", "work")
        each.until("in>")
    person.type("x=one; echo $x\r")
    for each in (person, other):
        each.until("one\nin>")
    other.type("echo ${x}two\r")
    for each in (person, other):
        each.until("onetwo\nin>")
    person.type(DETACH)
    person.back()
    other.type("echo three$((1+2))\r")
    other.until("three3")
    other.type(DETACH)
    other.back()


def test_a_flood_can_be_interrupted(person: Person, session: Driven) -> None:
    person.job("attach", "work")
    person.until("in>")
    person.type("yes\r")
    person.until("y\ny\ny")
    person.type("\x03")
    until_now(lambda: person.seen() and session.state()["state"] == "idle", "the interrupt")
    person.type("clear; echo done$((1+1))\r")
    person.until("done2\nin>")
    person.type(DETACH)
    person.back()


def test_a_large_paste_arrives_whole(person: Person, session: Driven, daemon: Daemon) -> None:
    got, line = daemon.home / "got", "x" * 99 + "\r"
    person.job("attach", "work")
    person.until("in>")
    session.type(
        f"stty -echo; echo rea''dy; head -n 20000 >{got}; stty echo; echo do''ne", enter=True
    )
    person.until("ready\n")
    for _ in range(200):
        person.child.send((line * 100).encode())
    person.until("done\n")
    assert got.read_text() == (line * 20_000).replace("\r", "\n")
    person.type(DETACH)
    person.back()


# -- how it ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [("exit 7", 7, "exit code 7"), ("exit 0", 0, "exit code 0"), ("kill -KILL $$", 137, "SIGKILL")],
)
def test_the_end_of_the_program_is_the_end_of_attach(
    person: Person, session: Driven, end: str, code: int, said: str
) -> None:
    person.job("attach", "work")
    person.until("in>")
    person.type(f"{end}\r")
    shown = person.back(code).replace("\n", "")
    assert session.id in shown and f"{said})" in shown


def test_vim_that_is_killed_leaves_the_terminal_as_it_was(
    person: Person, daemon: Daemon, home: Path
) -> None:
    session = open_session(daemon, home, "vim", ["-u", "NONE", "-N", "-n"], cols=COLS, rows=ROWS)
    person.job("attach")
    person.until("~")
    until_now(lambda: person.seen().alternate, "the alternate screen")
    session.stop(force=True)
    person.back(137)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_attach_and_the_terminal_is_as_it_was(
    person: Person, session: Driven, daemon: Daemon, number: int, code: int
) -> None:
    in_vim(session, daemon)
    person.job("attach", "work")
    person.until("~")
    person.program().send_signal(number)
    person.back(code)
    assert session.state()["session"]["status"] == "open"


def test_when_the_terminal_is_closed_the_session_goes_on(person: Person, session: Driven) -> None:
    person.job("attach", "work")
    person.until("in>")
    program = person.program()
    person.child.close(force=True)
    until_now(lambda: not program.is_running(), "the end of attach")
    assert session.run("echo there")["output"].strip() == "there"


def test_another_key_can_be_the_one_that_detaches(person: Person, session: Driven) -> None:
    person.job("attach", "--detach-key", "ctrl+]", "work")
    person.until("in>")
    person.type("sleep 100\r")
    session.until("executing")
    person.type(DETACH)
    person.until("^\\")
    person.type("\x1d")
    person.back()


# -- the daemon ------------------------------------------------------------------------------------


def restarted(daemon: Daemon) -> None:
    daemon.restart()


def left_to_the_client(daemon: Daemon) -> None:
    """Whoever is attached starts the next one."""
    daemon.kill()


@pytest.mark.parametrize("kill", [restarted, left_to_the_client])
def test_the_daemon_is_killed_under_an_attached_terminal(
    person: Person, session: Driven, daemon: Daemon, kill: Callable[[Daemon], None]
) -> None:
    in_vim(session, daemon)
    person.job("attach", "work")
    person.until("~", "poem")
    person.type("ione ")
    person.until("one")
    for word in ("two", "three"):
        kill(daemon)
        until_now(daemon.dial, "the next daemon")
        person.type(f"{word} ")
        person.until(word)
        if kill is left_to_the_client:
            break
    person.type("\x1b:wq\r")
    person.until_left()
    person.type(DETACH)
    person.back()
    assert re.fullmatch("one two (three )?\n", (daemon.home / "poem").read_text())


@contextmanager
def nobody_starts_one(daemon: Daemon) -> Iterator[None]:
    """Keep clients from starting the next daemon: somebody else seems to be at it."""
    with (daemon.home / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        daemon.kill()
        yield


def test_what_is_printed_while_there_is_no_daemon_is_shown_once(
    person: Person, session: Driven, daemon: Daemon
) -> None:
    person.job("attach", "work")
    person.until("in>")
    done = daemon.home / "done"
    person.type(f"{daemon.gate.wait}; seq -f n%g 5000; touch {done}\r")
    session.until("executing")
    with nobody_starts_one(daemon):
        daemon.gate.open()
        until_now(done.exists, "the output")
    until_now(daemon.dial, "the next daemon")
    person.until("n5000\nin>")
    # Before the session's id is printed, which may well end in n and a number.
    numbers = re.findall(rb"n(\d+)\r\n", person.printed)
    person.type(DETACH)
    person.back()
    assert numbers == [str(number).encode() for number in range(1, 5001)]


def test_one_can_detach_while_there_is_no_daemon(
    person: Person, session: Driven, daemon: Daemon
) -> None:
    person.job("attach", "work")
    person.until("in>")
    with nobody_starts_one(daemon):
        person.type(f"nobody hears this{DETACH}")
        person.back()


def test_a_daemon_that_cannot_be_started_ends_attach(
    person: Person, session: Driven, daemon: Daemon
) -> None:
    person.job("attach", "work")
    person.until("in>")
    (daemon.home / "config.toml").write_text("max_sessions = 'many'\n")
    daemon.kill()
    assert "max_sessions" in person.back(4)


# -- jobs ------------------------------------------------------------------------------------------


def test_a_job_on_a_terminal_is_attached_to_like_a_session(
    person: Person, daemon: Daemon, tmp_path: Path
) -> None:
    person.job("run", "--tty", "-n", "ask", "'stty size; read x; stty size; echo got $x; exit 5'")
    person.back()
    person.job("attach", "ask")
    person.until(f"{ROWS} {COLS}\n")
    person.type(DETACH)
    person.back()
    person.child.setwinsize(20, 100)
    person.screen.resize(100, 20)
    person.job("attach", "ask")
    person.until(f"{ROWS} {COLS}\n")
    person.type("hello\r")
    shown = person.back(5)
    assert "20 100\ngot hello\n" in shown and "exit code 5" in shown


def test_a_job_that_waits_is_shown_as_soon_as_it_runs(person: Person, daemon: Daemon) -> None:
    first = daemon.submit(daemon.gate.wait)
    command = "read -r line; echo begun with $line; cat"
    daemon.submit(command, terminal={}, dependsOn=[first], name="second")
    person.job("attach", "second")
    person.type("typed early\r")
    daemon.gate.open()
    person.until("begun with typed early")
    person.type("\x04")
    person.back(0)


# -- what cannot be attached -----------------------------------------------------------------------


@pytest.fixture
def shell(daemon: Daemon, tmp_path: Path) -> Shell:
    return Shell(daemon.home, tmp_path)


def test_without_a_terminal_it_says_what_there_is_instead(shell: Shell, session: Driven) -> None:
    done = shell.job("attach", "work")
    assert done.returncode == 2 and "terminal" in done.stderr and "logs -f" in done.stderr


def said(person: Person, code: int, *words: str) -> str:
    """Return what is said instead of attaching, without its blanks: it goes over several rows."""
    person.job("attach", *words)
    shown = person.back(code)
    return "".join(shown.split()).partition(f"leftwith{code}")[0]


def test_a_job_without_a_terminal_is_not_attached_to(person: Person, shell: Shell) -> None:
    job_id = shell.run("sleep 100")
    shown = said(person, 1, job_id)
    assert f"joblogs-f{job_id}" in shown and f"jobsend{job_id}" in shown


def test_what_is_over_is_not_attached_to(person: Person, shell: Shell, session: Driven) -> None:
    session.run("exit 3")
    session.closed()
    shown = said(person, 1, "work")
    assert "exitcode3" in shown and "jobsessionlogs" in shown
    job_id = shell.run("--tty", "true")
    shell.over(job_id)
    assert "joblogs" in said(person, 1, job_id)


def test_a_session_is_not_attached_to_itself(
    person: Person, session: Driven, daemon: Daemon
) -> None:
    person.job("attach", "work")
    person.until("in>")
    person.type(f"clear; CONSOLE_AUTOMATION_HOME={daemon.home} {JOB} attach work\r")
    person.until("this terminal is the one")
    person.type(DETACH)
    person.back()


def test_one_that_is_meant_must_be_told_from_others(
    person: Person, daemon: Daemon, home: Path
) -> None:
    assert "nosessionisopen" in said(person, 3)
    assert "nosessionorjob'nothing'" in said(person, 3, "nothing")
    one = open_session(daemon, home, "cat", [], name="twin")
    person.job("attach")
    person.type("alone\r")
    person.until("alone\nalone")
    person.type(DETACH)
    person.back()
    two = open_session(daemon, home, "cat", [], name="twin")
    for words in ([], ["twin"], ["session-"]):
        shown = said(person, 2, *words)
        assert one.id in shown and two.id in shown
    one.stop()
    person.job("attach", "twin")
    person.type("only one\r")
    person.until("only one\nonly one")
    person.type("\x04")
    person.back(0)


@pytest.mark.parametrize("key", ["x", "ctrl+[", "ctrl+m", "alt+a", "ctrl+ab", ""])
def test_a_key_that_cannot_detach_is_refused(shell: Shell, key: str) -> None:
    done = shell.job("attach", "--detach-key", key, "work")
    assert done.returncode == 2 and "detach-key" in done.stderr


def test_a_new_session_can_be_attached_to_at_once(person: Person, daemon: Daemon) -> None:
    person.job("session", "new", "--attach", "-n", "fresh", "-e", "PS1='inner> '", "sh")
    person.until("inner>")
    person.type("stty size; exit 9\r")
    shown = person.back(9)
    assert f"{ROWS} {COLS}\n" in shown
