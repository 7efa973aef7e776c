"""The command line on machines that are set up otherwise than this one."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.job_command import JOB, Shell
from tests.integration.servers import configure, end_everything
from tests.waiting import PATIENCE, until_now


@pytest.fixture
def own(home: Path) -> Iterator[Path]:
    """A state directory whose daemon the commands start themselves."""
    configure(home)
    yield home
    end_everything(home)


def works(shell: Shell) -> None:
    """Start a job, read it, and find it again."""
    done = shell.job("run", "-w", "-n", "trial", "echo hello; exit 3")
    assert done.returncode == 3, done.stderr
    assert shell.logs("trial") == "hello\n"
    assert "trial" in shell.job("list").stdout


def test_it_works_without_a_home(own: Path, tmp_path: Path) -> None:
    works(Shell(own, tmp_path, HOME=None))


def test_without_a_home_and_a_state_directory_the_users_own_is_used(
    own: Path, tmp_path: Path
) -> None:
    shell = Shell(own, tmp_path, HOME=str(own), CONSOLE_AUTOMATION_HOME=None)
    try:
        assert shell.job("run", "-w", "exit 3").returncode == 3
        state = own / ".console-automation"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
    finally:
        shell.job("daemon", "stop")


def test_xdg_variables_change_nothing(own: Path, tmp_path: Path) -> None:
    elsewhere = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "DATA", "STATE")}
    works(Shell(own, tmp_path, XDG_RUNTIME_DIR=str(tmp_path), **elsewhere))
    assert list(tmp_path.iterdir()) == []


def test_it_works_where_nothing_can_be_written(own: Path, tmp_path: Path) -> None:
    place = tmp_path / "readonly"
    place.mkdir(mode=0o555)
    works(Shell(own, place))
    assert list(place.iterdir()) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system has no such names")
def test_it_works_where_the_directory_has_no_name_in_utf_8(own: Path, tmp_path: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    place.mkdir()
    works(Shell(own, place))


def test_it_works_with_a_state_directory_of_a_very_long_name(own: Path, tmp_path: Path) -> None:
    deep = own / ("d" * (200 - len(str(own)) - 1))
    assert len(str(deep)) == 200
    shell = Shell(deep, tmp_path, CONSOLE_AUTOMATION_MAX_LOAD_PER_CPU="0")
    try:
        works(shell)
    finally:
        shell.job("daemon", "stop")
        end_everything(deep)


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL"])
def test_it_works_in_the_c_locale(own: Path, tmp_path: Path, variable: str) -> None:
    shell = Shell(own, tmp_path, **{"LANG": None, "LC_ALL": None, variable: "C"})
    works(shell)
    assert shell.job("run", "-f", "echo grüße").stdout == "grüße\n"
    assert shell.job("run", "-n", "größe", "true").returncode == 0
    assert shell.json("status", "größe")["job"]["name"] == "größe"


def test_output_that_the_locale_cannot_say_is_shown_all_the_same(own: Path, tmp_path: Path) -> None:
    shell = Shell(own, tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = shell.job("run", "-f", "echo gr\\\\303\\\\274n | xargs -0 printf '%b'")
    assert done.returncode == 0 and "gr" in done.stdout


def test_it_works_with_an_environment_of_nothing_but_a_path(own: Path, tmp_path: Path) -> None:
    shell = Shell(own, tmp_path)
    shell.environment = {
        "PATH": os.defpath,
        "CONSOLE_AUTOMATION_HOME": str(own),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    works(shell)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_works_with_streams_that_are_closed(own: Path, tmp_path: Path, closed: str) -> None:
    shell = Shell(own, tmp_path)
    words = " ".join(JOB)
    line = f"{words} run -n closed 'exit 3' {closed}"
    done = subprocess.run(
        ["sh", "-c", line],
        env=shell.environment,
        cwd=tmp_path,
        check=False,
        timeout=2 * PATIENCE,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert shell.job("wait", "closed").returncode == 3


def test_a_reader_that_hangs_up_at_once_is_no_error(own: Path, tmp_path: Path) -> None:
    shell = Shell(own, tmp_path)
    shell.job("run", "-w", "-n", "much", "seq 100000")
    line = f"{' '.join(JOB)} logs much | head -1; {' '.join(JOB)} list | true"
    done = subprocess.run(
        ["sh", "-c", line],
        env=shell.environment,
        cwd=tmp_path,
        check=False,
        timeout=2 * PATIENCE,
        capture_output=True,
    )
    assert (done.stdout, done.stderr) == (b"1\n", b"")


def test_a_notification_runs_where_its_job_ran_with_what_that_had(
    own: Path, tmp_path: Path
) -> None:
    shell = Shell(own, tmp_path, ONLY_HERE="yes")
    job_id = shell.run("--notify", "echo $ONLY_HERE $JOB_ID > told", "true")
    told = tmp_path / "told"
    until_now(lambda: told.exists() and told.read_text() == f"yes {job_id}\n", "the notification")
    (notice,) = shell.json("list", "--tag", f"notify={job_id}")["jobs"]
    assert shell.over(notice["id"])["attempt"] == 1


def test_a_state_directory_that_cannot_be_used_is_said_plainly(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = Shell(file, tmp_path).job("list")
    assert done.returncode == 4 and str(file) in done.stderr
    view = Shell(file, tmp_path).json("list")
    assert (view["success"], view["code"]) == (False, "UNAVAILABLE")


def test_settings_that_are_wrong_are_said_plainly(own: Path, tmp_path: Path) -> None:
    (own / "config.toml").write_text("max_concurrent_jobs = 0\n")
    done = Shell(own, tmp_path).job("list")
    assert done.returncode == 4 and "max_concurrent_jobs" in done.stderr


def test_nothing_is_printed_in_colour_or_moved_about_where_nobody_watches(
    own: Path, tmp_path: Path
) -> None:
    shell = Shell(own, tmp_path, FORCE_COLOR="1", CLICOLOR_FORCE="1")
    done = shell.job("run", "-w", "exit 1")
    for each in (done, shell.job("list"), shell.job("status"), shell.job("doctor")):
        assert "\x1b" not in each.stdout + each.stderr
