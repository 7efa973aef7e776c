"""`doctor`: what it says of the machine, for people and for programs."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.integration.daemons import killable, serve_as_version
from tests.integration.job_command import Shell
from tests.integration.servers import configure

HERE = Path(sys.executable).parent


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Shell:
    configure(home)
    return Shell(home, tmp_path)


def found(shell: Shell, name: str) -> tuple[bool, str]:
    """What is said of one thing, the same in both forms."""
    (check,) = [each for each in shell.json("doctor")["checks"] if each["name"] == name]
    mark = "ok  " if check["ok"] else "BAD "
    assert f"{mark} {name}: {check['remark']}\n" in shell.job("doctor").stdout
    return check["ok"], check["remark"]


def test_a_healthy_machine_is_said_to_be_one(shell: Shell) -> None:
    assert shell.json("doctor")["ok"] is True
    done = shell.job("doctor")
    assert done.returncode == 0 and "BAD" not in done.stdout
    assert not (shell.home / "daemon.log").exists(), "looking starts nothing"


def test_what_is_wrong_is_the_exit_code_too(shell: Shell) -> None:
    (shell.home / "config.toml").write_text("http_port = 'x'\n")
    assert found(shell, "settings") == (False, "setting http_port: 'x' is not a whole number")
    assert shell.json("doctor")["ok"] is False
    assert shell.job("doctor").returncode == shell.job("doctor", "--json").returncode == 1


def test_a_job_on_path_is_this_one_or_another(shell: Shell, tmp_path: Path) -> None:
    first = tmp_path / "bin"
    first.mkdir()
    shell.environment["PATH"] = f"{first}:{os.defpath}"
    assert found(shell, "job") == (True, f"not on PATH; it is {HERE}/job")
    ours = first / "job"
    ours.symlink_to(HERE / "job")
    assert found(shell, "job") == (True, str(ours))
    ours.unlink()
    ours.write_text(f"#!{sys.executable}\n")
    ours.chmod(0o755)
    assert found(shell, "job") == (True, str(ours))
    ours.write_text("#!/bin/sh\necho something else\n")
    good, remark = found(shell, "job")
    assert not good and str(ours) in remark and f"{HERE}/job" in remark


def test_a_daemon_of_another_version_is_to_be_restarted(home: Path, tmp_path: Path) -> None:
    with killable(home, partial(serve_as_version, "0.2.0")) as daemon:
        good, remark = found(Shell(home, tmp_path), "daemon")
        assert not good and "0.2.0" in remark and "job daemon restart" in remark
        assert daemon.is_alive
