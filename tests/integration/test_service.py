"""`job daemon install`: what is written for systemd and launchd means what it is meant to."""

import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console_automation.frontends.cli import service
from tests.integration.job_command import Shell
from tests.waiting import PATIENCE

NASTY = '/tmp/a b/100%h "quoted" \\n $HOME ${x} \'; é\n/x'
PATHS = ["/opt/venv/bin/python3", NASTY, "/tmp/%%/\\x41\\", "/tmp/caf\udce9"]
PROGRAM = ["-P", "-m", "console_automation", "daemon", "run"]


def read(unit: str) -> dict[str, list[str]]:
    """A unit's assignments, split and unquoted by the rules of systemd.syntax(7)."""
    values: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', value)
            values[name] = [plain(quoted) if quoted else bare for quoted, bare in words]
    return values


def plain(quoted: str) -> str:
    said = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), quoted)
    assert not re.search(r"(?<!%)%(%%)*(?!%)", said), "a specifier"
    return said.replace("%%", "%")


@pytest.mark.parametrize("path", PATHS)
def test_a_unit_says_what_is_meant_whatever_the_path(path: str) -> None:
    unit = read(service.unit(path, path))
    assert unit["ExecStart"] == [path, *PROGRAM]
    assert unit["Environment"] == [f"CONSOLE_AUTOMATION_HOME={path}"]


def test_a_unit_lets_jobs_outlive_the_daemon_and_starts_it_again() -> None:
    unit = read(service.unit("/python", "/home"))
    assert unit["KillMode"] == ["process"] and unit["OOMPolicy"] == ["continue"]
    assert unit["Restart"] == ["on-failure"] and unit["RestartPreventExitStatus"] == ["4"]
    assert unit["WantedBy"] == ["default.target"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path) -> None:
    path = tmp_path / "console-automation.service"
    path.write_text(service.unit(sys.executable, NASTY))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", ["/python", '/tmp/<a> & "b" é'])
def test_an_agent_is_a_property_list_that_says_the_same(path: str) -> None:
    agent = plistlib.loads(service.agent(path, path).encode())
    assert agent["ProgramArguments"] == [path, *PROGRAM]
    assert agent["EnvironmentVariables"] == {"CONSOLE_AUTOMATION_HOME": path}
    assert agent["AbandonProcessGroup"] and agent["KeepAlive"] == {"SuccessfulExit": False}


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Shell:
    return Shell(home, tmp_path, HOME=str(tmp_path / "me"), XDG_CONFIG_HOME=None)


def units(shell: Shell) -> Path:
    return shell.directory / "me/.config/systemd/user"


def test_the_unit_is_written_once_and_shown_with_what_is_to_be_done(shell: Shell) -> None:
    first = shell.job("daemon", "install")
    unit = units(shell) / "console-automation.service"
    assert first.stdout == f"written: {unit}\n{unit.read_text()}"
    assert "systemctl --user enable --now console-automation" in first.stderr
    assert "enable-linger" in first.stderr
    before = unit.stat()
    assert shell.job("daemon", "install").stdout.startswith(f"unchanged: {unit}\n")
    assert unit.stat().st_mtime_ns == before.st_mtime_ns
    assert read(unit.read_text())["Environment"] == [f"CONSOLE_AUTOMATION_HOME={shell.home}"]


def test_it_can_be_looked_at_first(shell: Shell) -> None:
    done = shell.job("daemon", "install", "--print")
    assert read(done.stdout)["ExecStart"][1:] == PROGRAM
    assert str(units(shell)) in done.stderr and not units(shell).exists()


def test_a_unit_for_another_state_directory_replaces_ours(shell: Shell, tmp_path: Path) -> None:
    shell.job("daemon", "install")
    shell.environment["CONSOLE_AUTOMATION_HOME"] = f"{tmp_path}/other"
    assert shell.job("daemon", "install").stdout.startswith("replaced: ")
    assert f"{tmp_path}/other" in (units(shell) / "console-automation.service").read_text()


@pytest.mark.parametrize("edit", ["[Service]\nExecStart=/bin/true\n", "{unit}Nice=5\n", ""])
def test_a_unit_that_is_not_ours_or_was_edited_is_let_be(shell: Shell, edit: str) -> None:
    shell.job("daemon", "install")
    unit = units(shell) / "console-automation.service"
    theirs = edit.format(unit=unit.read_text())
    unit.write_text(theirs)
    for command in ("install", "uninstall"):
        done = shell.job("daemon", command)
        assert done.returncode == 1 and str(unit) in done.stderr
        assert unit.read_text() == theirs


def test_uninstall_removes_the_unit_and_its_link_and_nothing_else(shell: Shell) -> None:
    shell.job("daemon", "install")
    wants = units(shell) / "default.target.wants"
    wants.mkdir()
    (wants / "console-automation.service").symlink_to(units(shell) / "console-automation.service")
    (wants / "another.service").symlink_to("/nowhere")
    (units(shell) / "mine.service").write_text("mine")
    done = shell.job("daemon", "uninstall")
    assert done.returncode == 0 and "systemctl --user stop" in done.stderr
    left = {str(path.relative_to(units(shell))) for path in units(shell).rglob("*")}
    assert left == {"default.target.wants", "default.target.wants/another.service", "mine.service"}
    assert "not there" in shell.job("daemon", "uninstall").stdout


def test_the_place_of_units_is_that_of_xdg_if_that_is_a_path(shell: Shell, tmp_path: Path) -> None:
    for configured, place in (("relative", units(shell)), ("", units(shell))):
        shell.environment["XDG_CONFIG_HOME"] = configured
        assert str(place) in shell.job("daemon", "install", "--print").stderr
    shell.environment["XDG_CONFIG_HOME"] = f"{tmp_path}/xdg"
    assert f"{tmp_path}/xdg/systemd/user/" in shell.job("daemon", "install", "--print").stderr
    assert not (tmp_path / "relative").exists()


def test_a_restart_behind_the_back_of_systemd_is_remarked_on(shell: Shell) -> None:
    assert "systemd" not in shell.job("daemon", "restart").stderr
    shell.job("daemon", "install")
    assert "systemctl --user start" in shell.job("daemon", "restart").stderr
    shell.job("daemon", "stop")
