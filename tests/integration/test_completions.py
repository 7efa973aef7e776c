"""`job completions`: what Tab makes of a line, in the shells themselves."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from console_automation.frontends.cli.commands.complete import split
from console_automation.frontends.cli.program import JOB
from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.waiting import PATIENCE

LASTING = "sleep 1000"
#: A function of the shell's that shows what a completed line has become; completions pass it by.
SHOW = {
    "bash": "job() { printf '\\nGIVEN'; printf '<%s>' \"$@\"; echo; }",
    "zsh": "job() { printf '\\nGIVEN'; printf '<%s>' \"$@\"; echo; }",
    "fish": "function job; printf '\\nGIVEN'; printf '<%s>' $argv; echo; end",
}
START = {"bash": ["--noprofile", "--norc"], "zsh": ["-f"], "fish": ["--no-config"]}


@pytest.fixture(scope="module")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A directory with a few files, two directories, and jobs that run."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "letters.txt").touch()
    (directory / "lib dir").mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = Shell(server.home, directory, PATH=path, HOME=str(directory), TERM="xterm")
    shell.run("-n", "finished", "true")
    shell.over("finished")
    for name in ("server", "two words", "a:b=c", "quo'te;"):
        shell.run("-n", name, LASTING)
    shell.run(LASTING)
    yield shell
    shell.job("stop", "--active", "--signal", "KILL")


class Typist:
    """Types into an interactive shell in which completions are installed."""

    def __init__(self, name: str, project: Shell) -> None:
        self.child = pexpect.spawn(
            shutil.which(name) or name,
            START[name],
            cwd=project.directory,
            env=project.environment,
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(24, 200),
        )
        self.child.delaybeforesend = None
        script = project.directory / f".completions.{name}"
        script.write_text(project.job("completions", name).stdout)
        if name == "zsh":
            self._execute("autoload -Uz compinit; compinit -u -d .zcompdump")
        self._execute(f". ./{script.name}")
        self._execute(SHOW[name])

    def _execute(self, line: str) -> None:
        self.child.sendline(f"{line}; echo re''ady")
        self.child.expect("ready\r\n")

    def completed(self, line: str) -> list[str]:
        """Return the arguments that a line has after Tab, as the shell has read them."""
        self.child.send(f"{line}\t")
        self.child.send("\r")
        self.child.expect(r"GIVEN([^\r]*)\r\n")
        given = re.findall("<(.*?)>", self.child.match[1])
        return [word.removesuffix("/") for word in given]  # zsh takes it away again

    def close(self) -> None:
        self.child.close(force=True)


@pytest.fixture(scope="module", params=["bash", "zsh"])
def typist(request: pytest.FixtureRequest, project: Shell) -> Iterator[Typist]:
    typist = Typist(request.param, project)
    yield typist
    typist.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("job skil", ["skills"]),
        ("job skills uni", ["skills", "uninstall"]),
        ("job run --fol", ["run", "--follow"]),
        ("job list --status inter", ["list", "--status", "interrupted"]),
        ("job list --status=inter", ["list", "--status=interrupted"]),
        ("job stop --signal K", ["stop", "--signal", "KILL"]),
        ("job stop serv", ["stop", "server"]),
        ("job wait server tw", ["wait", "server", "two words"]),
        ("job logs --tail 5 a", ["logs", "--tail", "5", "a:b=c"]),
        ("job logs a:b", ["logs", "a:b=c"]),
        ("job logs quo", ["logs", "quo'te;"]),
        ("job logs fini", ["logs", "finished"]),
        ("job run -d li", ["run", "-d", "lib dir"]),
        ("job run --input let", ["run", "--input", "letters.txt"]),
        ("job run ls let", ["run", "ls", "letters.txt"]),
        ("job run uname", ["run", "uname"]),
        ("job ls --act", ["ls", "--active"]),
        ("job --all --act", ["--all", "--active"]),
    ],
)
def test_tab_completes_a_line(typist: Typist, line: str, completed: list[str]) -> None:
    assert typist.completed(line) == completed


@pytest.mark.parametrize(
    "line", ["job logs nobod", "job nothing he", "job wait -t 5", "job --nothi"]
)
def test_what_cannot_be_completed_stays_as_it_is(typist: Typist, line: str) -> None:
    assert typist.completed(line) == line.split()[1:]


def test_several_candidates_are_shown(typist: Typist) -> None:
    typist.child.send("job daemon re\t\tst")
    typist.child.expect("restart")
    typist.child.send("\x15")


# -- fish, which can be asked ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def fish(project: Shell) -> Callable[[str], dict[str, str]]:
    """What fish would show for a line: candidates and the words beside them."""
    script = project.directory / ".completions.fish"
    script.write_text(project.job("completions", "fish").stdout)

    def complete(line: str) -> dict[str, str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {script.name}; complete -C $argv[1]", line],
            cwd=project.directory,
            env=project.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        assert not done.stderr
        pairs = (each.partition("\t") for each in done.stdout.splitlines())
        return {value: about for value, _, about in pairs}

    return complete


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("job lo", {"logs"}),
        ("job daemon re", {"restart"}),
        ("job list --status=inter", {"--status=interrupted"}),
        ("job stop --signal K", {"KILL"}),
        ("job wait server tw", {"two words"}),
        ("job logs a:b", {"a:b=c"}),
        ("job logs quo", {"quo'te;"}),
        ("job run -d li", {"lib dir/"}),
        ("job run --input let", {"letters.txt"}),
        ("job run ls let", {"letters.txt"}),
        ("job logs nobody", set()),
        ("job run --fol", {"--follow"}),
    ],
)
def test_fish_finds_the_same(
    fish: Callable[[str], dict[str, str]], line: str, candidates: set[str]
) -> None:
    assert set(fish(line)) == candidates


def test_beside_a_candidate_stands_what_it_is(fish: Callable[[str], dict[str, str]]) -> None:
    assert fish("job serv") == {}
    assert fish("job stop serv") == {"server": f"running: {LASTING}"}
    assert fish("job log")["logs"] == JOB.commands["logs"]


# -- what is asked behind all three ----------------------------------------------------------------


def asked(project: Shell, *words: str) -> list[str]:
    """The candidates for the last of the words."""
    done = project.job("complete", "zsh", "--", *words)
    assert not done.stderr
    return [line.partition("\t")[0] for line in done.stdout.splitlines()[1:]]


def test_every_command_that_is_shown_is_a_candidate_and_no_other(project: Shell) -> None:
    shown = {name for name, about in JOB.commands.items() if about}
    assert set(asked(project, "job", "")) == shown | set(JOB.aliases)


@pytest.mark.parametrize("command", sorted(name for name, about in JOB.commands.items() if about))
def test_every_option_of_a_command_is_a_candidate(project: Shell, command: str) -> None:
    listed = set(
        re.findall(r"^  (?=-).*?(--[\w-]+)", project.job(command, "--help").stdout, re.MULTILINE)
    )
    assert listed and listed <= set(asked(project, "job", command, "--"))


def test_jobs_that_are_over_are_candidates_only_where_they_are_meant(project: Shell) -> None:
    assert "finished" in asked(project, "job", "logs", "")
    assert "finished" not in asked(project, "job", "stop", "")


def test_a_job_without_a_name_is_a_candidate_by_its_id(project: Shell) -> None:
    (unnamed,) = [each for each in asked(project, "job", "stop", "") if each.startswith("job-")]
    assert project.status(unnamed)["command"] == LASTING
    assert len(asked(project, "job", "stop", "job-")) == 5, "those with a name as well"


def test_jobs_of_other_projects_are_none(project: Shell, tmp_path: Path) -> None:
    elsewhere = Shell(project.home, tmp_path)
    assert asked(elsewhere, "job", "stop", "") == []


def test_open_sessions_are_candidates_by_name_where_a_name_will_do(project: Shell) -> None:
    opened = project.job("session", "new", "--json", "-n", "deck", "sh").stdout
    session = json.loads(opened)["sessionId"]
    try:
        assert asked(project, "job", "session", "exec", "de") == ["deck"]
        assert asked(project, "job", "session", "exec", session[:12]) == [session]
        assert {"deck", "server"} <= set(asked(project, "job", "attach", ""))
        assert session in asked(project, "job", "run", "--session", "")
    finally:
        project.job("session", "stop", "deck")
    assert session not in asked(project, "job", "run", "--session", "")


def test_definitions_workflows_and_their_runs_are_candidates(
    server: Server, tmp_path: Path
) -> None:
    shell = Shell(server.home, tmp_path)
    (tmp_path / "console-automation.toml").write_text("[jobs.hello]\ncommand = 'true'\n")
    steps = '[[steps]]\nid = "one"\njob = "hello"\n'
    (tmp_path / "greetings.toml").write_text(f'name = "greetings"\n{steps}')
    shell.job("workflow", "register", "greetings.toml")
    for words in (
        ["exec"],
        ["definitions"],
        ["define", "--remove"],
        ["schedule", "create", "--job"],
    ):
        assert "hello" in asked(shell, "job", *words, "he")
    assert asked(shell, "job", "workflow", "remove", "") == ["greetings"]
    assert asked(shell, "job", "workflow", "status", "") == [], "it has no run yet"
    run = shell.job("workflow", "run", "greetings").stdout.strip()
    for command in ("status", "cancel", "rerun"):
        assert asked(shell, "job", "workflow", command, "gre") == ["greetings"]
        assert asked(shell, "job", "workflow", command, run[:12]) == [run]
    shell.job("workflow", "remove", "greetings")


def test_behind_two_dashes_there_are_no_options(project: Shell) -> None:
    assert asked(project, "job", "logs", "--", "-") == []
    assert "server" in asked(project, "job", "logs", "--", "")


def test_without_a_daemon_nothing_is_said_and_none_is_started(home: Path, tmp_path: Path) -> None:
    shell = Shell(home, tmp_path)
    assert asked(shell, "job", "logs", "") == []
    assert asked(shell, "job", "lo") == ["logs"]
    assert not any(home.iterdir())


def test_a_daemon_that_does_not_answer_is_not_waited_for(project: Shell, home: Path) -> None:
    (home / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / "run/daemon.sock"))
        listening.listen()
        assert asked(Shell(home, project.directory), "job", "logs", "") == []


@pytest.mark.parametrize(
    ("line", "words", "raw"),
    [
        ("job lo", ["job"], "lo"),
        ("job logs ", ["job", "logs"], ""),
        ("A=1 B='x y' job logs a", ["job", "logs"], "a"),
        (r"job logs two\ wo", ["job", "logs"], r"two\ wo"),
        ("job logs 'two wo", ["job", "logs"], "'two wo"),
        ('job run "a \\" b" c', ["job", "run", 'a \\" b'], "c"),
        ("job run '' x", ["job", "run", ""], "x"),
    ],
)
def test_a_line_of_bash_is_read_as_bash_reads_it(line: str, words: list[str], raw: str) -> None:
    found, _, typed = split(line)
    assert (found, typed) == (words, raw)
