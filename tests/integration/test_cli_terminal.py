"""What a person sees of `job top`, `job logs -f` and `job wait` in a window, which is left as it was."""

import re
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Gate
from tests.integration.daemons import killable
from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.integration.test_job_logs import ATTACK
from tests.integration.windows import Window
from tests.waiting import until_now


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Iterator[Shell]:
    yield Shell(server.home, tmp_path)
    for job in server.call("console_list_jobs", options={"status": "active"})["jobs"]:
        server.call("console_cancel_job", jobId=job["id"], graceMs=0)


def test_top_shows_a_job_start_and_end(shell: Shell, gate: Gate) -> None:
    with Window(shell, "top") as window:
        window.until("0 pending", "this project", "q quit")
        assert window.seen().alternate and not window.seen().cursor_visible
        shell.run("-n", "lengthy", f"{gate.wait}; exit 3")
        window.until("lengthy", "running")
        gate.open()
        window.until("failed 3")
        window.type("q")
        assert window.ended() == 0
        assert not window.seen().alternate and window.seen().cursor_visible
        assert "lengthy" not in window.text()


def test_top_lets_times_tick(shell: Shell, gate: Gate) -> None:
    shell.run("-n", "ticking", gate.wait)
    with Window(shell, "top") as window:
        seen: set[str] = set()

        def ticked() -> bool:
            seen.update(re.findall(r"running +([0-9.]+ s)", window.text()))
            return len(seen) >= 3

        until_now(ticked, "the third time that a job has run")


def test_top_shows_what_runs_before_what_waits_and_has_ended(shell: Shell, gate: Gate) -> None:
    shell.over(shell.run("-n", "old", "true"))
    shell.run("-n", "runs", gate.wait)
    shell.run("-n", "waits", "--after", "runs", "true")
    shell.over(shell.run("-n", "new", "false"))
    with Window(shell, "top") as window:
        lines = window.until("runs", "waits", "old", "new").lines
        names = [line.split()[1] for line in lines[3:] if len(line.split()) > 3]
        assert names[:4] == ["runs", "waits", "new", "old"]


def test_top_keeps_a_job_that_ends_though_many_were_started_after_it(
    shell: Shell, gate: Gate
) -> None:
    shell.run("-n", "first", gate.wait)
    last = [shell.run("-n", f"later{n}", "true") for n in range(12)]
    shell.over(last[-1])
    with Window(shell, "top", rows=8) as window:
        window.until("first", "running", "later11")
        gate.open()
        window.until_gone("running")
        assert "first" in window.text()


def test_top_shows_all_projects_and_this_one_again(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    elsewhere = Shell(shell.home, tmp_path / "other")
    elsewhere.over(elsewhere.run("-n", "elsewhere", "true"))
    with Window(shell, "top") as window:
        window.until("this project", "a all projects")
        assert "elsewhere" not in window.text()
        window.type("a")
        window.until("all projects", "PROJECT", "elsewhere")
        window.type("a")
        window.until_gone("elsewhere")


def test_top_fits_its_window(shell: Shell) -> None:
    names = [f"n{number}-is-a-name-of-some-length" for number in range(9)]
    shell.job("wait", *(shell.run("-n", name, f"true {'long ' * 30}") for name in names))
    told = Shell(shell.home, shell.directory, COLUMNS="80", LINES="24")  # by a shell, long ago
    with Window(told, "top", cols=60, rows=15) as window:
        rows_of_jobs = window.until("COMMAND", "n8-is").lines[3:12]
        assert all("  completed  " in row and "true" in row for row in rows_of_jobs)
        for cols, rows in ((60, 15), (40, 7), (100, 30)):
            window.resize(cols, rows)

            def fits(last: int = rows - 1) -> bool:
                lines = window.seen().lines
                return "slots" in lines[0] and "COMMAND" in lines[2] and "q quit" in lines[last]

            until_now(fits, f"a board of {cols} by {rows}")
        window.until("n0-is")
        window.type("q")
        assert window.ended() == 0


@pytest.mark.parametrize("how", ["q", "\x03", signal.SIGTERM, signal.SIGHUP], ids=str)
def test_top_gives_the_terminal_back_however_it_ends(
    shell: Shell, how: str | signal.Signals
) -> None:
    with Window(shell, "top") as window:
        window.until("q quit")
        settings = termios.tcgetattr(window.child.child_fd)[6]
        assert settings[termios.VSUSP] == b"\0"  # Ctrl-Z: no shell shall find the window like this
        if isinstance(how, str):
            window.type(how)
            assert window.ended() == 0
        else:
            window.child.kill(how)
            assert window.ended() == 128 + how


def test_top_goes_on_with_the_next_daemon(home: Path, tmp_path: Path) -> None:
    with killable(home) as daemon:
        shell = Shell(home, tmp_path)
        with Window(shell, "top") as window:
            shell.run("-n", "before", "true")
            window.until("before", "completed")
            daemon.restart()
            shell.run("-n", "after", "true")
            window.until("before", "after", "q quit")
            window.type("q")
            assert window.ended() == 0


def test_top_is_printed_once_where_nobody_watches(shell: Shell) -> None:
    job_id = shell.run("-n", "seen", "true")
    shell.over(job_id)
    done = shell.job("top")
    figures, head, row = done.stdout.splitlines()[:3]
    assert re.fullmatch(r"0 of 8 slots, 0 pending, load [0-9.]+  this project", figures)
    assert head.split() == ["ID", "NAME", "STATUS", "TIME", "COMMAND"]
    assert row.split()[:3] == [job_id, "seen", "completed"]
    with Window(shell, "top", "--once") as window:
        assert window.ended() == 0
        assert "seen" in window.text() and not window.seen().alternate


def test_top_without_colours_has_none(shell: Shell) -> None:
    shell.over(shell.run("false"))
    coloured = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")
    for environment, has_colours in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Window(Shell(shell.home, shell.directory, **environment), "top") as window:
            window.until("failed 1", "q quit")
            assert bool(coloured.search(window.printed)) is has_colours


def test_ctrl_c_leaves_the_output_and_says_how_to_come_back(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(f"echo begun; {gate.wait}")
    with Window(shell, "logs", "-f", job_id, cols=160) as window:
        window.until("begun")
        window.type("\x03")
        assert window.ended() == 130
        window.until("detached; it goes on", f"job logs -f {job_id}")
    assert shell.status(job_id)["status"] == "running"
    gate.open()
    assert shell.over(job_id)["status"] == "completed"


def test_what_a_job_prints_can_do_nothing_to_the_window(shell: Shell, gate: Gate) -> None:
    switch = r"printf '\033[?1049h\033[?25l\033[?2004h\033[8m\033]0;title\a'"
    job_id = shell.run(f"{switch}; {ATTACK}; {gate.wait}; echo over")
    with Window(shell, "logs", "-f", job_id) as window:
        seen = window.until("red rtl")
        assert not seen.alternate and seen.cursor_visible and not seen.title
        assert b"\x1b" not in window.printed
        gate.open()
        window.until("over")
        assert window.ended() == 0


def test_waiting_shows_how_it_goes_in_one_line(shell: Shell, gate: Gate) -> None:
    job_id = shell.run("-n", "awaited", f"{gate.wait}; exit 7")
    with Window(shell, "wait", job_id) as window:
        first = window.until("awaited: running", "waiting for").lines
        assert sum(map(bool, first)) == 1
        window.until("waiting for 1.")
        gate.open()
        assert window.ended() == 7
        lines = [line for line in window.seen().lines if line]
        assert lines == [line for line in lines if "waiting" not in line]
        assert "exit code 7" in lines[-1]


def test_a_wait_that_is_left_clears_its_line(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(gate.wait)
    with Window(shell, "wait", job_id, cols=160) as window:
        window.until("waiting for")
        window.type("\x03")
        assert window.ended() == 130
        assert "waiting for" not in window.text()
        window.until("detached", f"job wait {job_id}")
    assert shell.status(job_id)["status"] == "running"
