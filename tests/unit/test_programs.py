"""What the tests need of the machine is installed when it is missing, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "programs.sh"
NEEDED = ("zsh", "fish", "vim", "less", "top", "ssh", "ssh-keygen", "sshd", "curl", "jq")
TRUE = "exit 0"

#: Root by proxy: notes what it is to do, does nothing of it, and fails at the first installation.
SUDO = """
shift
echo "$@" >> "$0.log"
case "$*" in *' install '*) [ -e "$0.tried" ] || { : > "$0.tried"; exit 1; } ;; esac
"""


class Machine:
    """A directory that is the whole PATH."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for program in NEEDED:
            self.has(program, TRUE)
        self.has("id", "echo 1000")

    def has(self, name: str, script: str) -> None:
        (self.place / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.place / name).chmod(0o755)

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.place / name).unlink()

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", SCRIPT],
            env={"PATH": str(self.place)},
            capture_output=True,
            text=True,
            check=False,
        )

    def done_as_root(self) -> list[str]:
        log = self.place / "sudo.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for tool in ("sort", "cat"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    return Machine(tmp_path)


def test_nothing_is_done_and_nothing_said_where_all_is_there(machine: Machine) -> None:
    machine.has("apt-get", "exit 1")
    machine.has("sudo", SUDO)
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.done_as_root() == []


@pytest.mark.parametrize("manager", [None, "apt-get"])
def test_who_may_not_install_is_told_what_is_missing(machine: Machine, manager: str | None) -> None:
    machine.lacks("fish", "top")
    if manager:
        machine.has(manager, "exit 1")
    done = machine.run()
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        "tests: fish is missing; install the package fish",
        "tests: top is missing; install the package procps",
    ]


def test_just_what_is_missing_is_installed_and_the_lists_only_when_needed(machine: Machine) -> None:
    machine.lacks("fish", "ssh", "ssh-keygen")
    machine.has("apt-get", TRUE)
    machine.has("sudo", SUDO)
    assert machine.run().returncode == 0
    calls = [line.split(" -o ")[-1] for line in machine.done_as_root() if "apt-get" in line]
    install = "install -y --no-install-recommends fish openssh-client"
    words = [call.partition(" ")[2] for call in calls]
    assert words == [install, "update", install]


def test_an_installation_that_fails_twice_is_told(machine: Machine) -> None:
    machine.lacks("fish")
    machine.has("apt-get", TRUE)
    machine.has("sudo", 'case "$*" in *apt-get*) exit 1 ;; esac')
    done = machine.run()
    assert done.returncode != 0
    assert "fish is missing" in done.stderr


def test_brew_does_it_where_there_is_no_apt(machine: Machine) -> None:
    machine.lacks("fish")
    machine.has("brew", 'echo "$@" >> "$0.log"')
    assert machine.run().returncode == 0
    assert (machine.place / "brew.log").read_text() == "install --quiet fish\n"
