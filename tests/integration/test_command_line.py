"""The command line: what it says of a daemon is true, and it waits for what it claims."""

import subprocess
import sys
from pathlib import Path

import pytest

from console_automation.app import open_app
from console_automation.config import Settings
from console_automation.errors import BadRequest, Unavailable
from tests.integration.job_command import Shell
from tests.integration.servers import Server, environment, serving
from tests.unit.test_architecture import HEAVY
from tests.waiting import PATIENCE


def run(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "console_automation", *words],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_a_daemon_that_was_stopped_is_gone_when_the_command_returns(home: Path) -> None:
    with serving(home):
        done = run(home, "daemon", "stop")
        assert (done.returncode, done.stdout.split(";")[0]) == (0, "the daemon has ended")
        assert run(home, "daemon", "status").returncode == 1


def test_a_daemon_that_holds_its_directory_but_does_not_listen_is_not_denied(home: Path) -> None:
    with serving(home):
        (home / "run" / "daemon.sock").unlink()
        for words in (("daemon", "status"), ("daemon", "stop")):
            done = run(home, *words)
            assert done.returncode == 4
            assert "holds" in done.stderr and "Traceback" not in done.stderr
        assert "BAD  daemon: the daemon, pid " in run(home, "doctor").stdout


def test_the_doctor_sees_settings_that_no_daemon_could_start_with(home: Path) -> None:
    (home / "config.toml").write_text("max_concurrent_jobs = 0\n")
    done = run(home, "doctor")
    assert done.returncode == 1
    assert "BAD  settings: " in done.stdout and "max_concurrent_jobs" in done.stdout


def test_output_that_cannot_be_written_is_said_plainly(home: Path) -> None:
    with serving(home), Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "console_automation", "metrics"],
            env=environment(home),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode != 0 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", ["run true", "run -w true", "status", "status once", "logs once", "list --all"]
)
def test_what_is_to_be_quick_loads_nothing_slow(server: Server, tmp_path: Path, words: str) -> None:
    script = (
        "import sys; from console_automation.frontends.cli.program import JOB;"
        " code = JOB.main(sys.argv[1:]); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    shell = Shell(server.home, tmp_path)
    shell.job("run", "-w", "-n", "once", "echo once")
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()],
        env=shell.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    loaded = done.stderr.splitlines()[-1].split()
    assert "argparse" in loaded and not HEAVY & set(loaded)


async def test_the_library_refuses_what_would_be_misread(home: Path, settings: Settings) -> None:
    async with open_app(home, settings) as app:
        with pytest.raises(BadRequest, match="args"):
            await app.start_background_job("ls", "-l")
    with pytest.raises(Unavailable, match="closed"):
        await app.get_background_job_metrics()
