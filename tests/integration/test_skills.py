"""`job skills`: where the skill is written, and that its text is true: it is followed to the letter."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console_automation.frontends.cli import written
from console_automation.frontends.cli.commands import skills
from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.waiting import PATIENCE

TEXT = skills.text()
LINES = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]

#: What each line of the text comes to in a project like the one below: exit code, stdout, stderr.
EXPECTED = {
    "job run -n tests make test": (0, r"job-\w{26}\n", r"job wait tests"),
    "job wait -t 90s tests": (2, r"tests: failed: exit code 2.*\n", ""),
    "job logs --tail 20 tests": (0, r"((line \d+|error: one FAILED|make: .*)\n){20}", ""),
    "job logs --grep 'error|FAILED' -C 2 tests": (
        0,
        r"(.*\n)?line 38\nline 39\nerror: one FAILED\nline 40\n(.*\n)?(.*\n)?",
        "",
    ),
    "job status tests": (0, r"id +job-.*\nname +tests\nstatus +failed: exit code 2(.|\n)*", ""),
    "job list": (0, r".*\n.*tests .*failed 2 (.|\n)*", ""),
    "job run -k deploy-42 -n deploy ./deploy.sh": (0, r"(job-\w{26})\n", r"job wait deploy"),
    "job run -n server ./server.sh": (0, r"job-\w{26}\n", r"running"),
    "job stop server": (0, r".*cancelled.*\n", ""),
    "job definitions": (0, r"(.*\n)*greet +.*\n(.*\n)*", ""),
    "job exec greet name=World": (0, r'"Hello World"\n', ""),
    "job schedule create -n nightly --cron '0 2 * * *' 'make test'": (
        0,
        r"schedule-\w{26}\n",
        r"nightly, version 1: ",
    ),
    "job schedule delete nightly": (0, r".*nightly.*\n", ""),
    "job workflow run release --wait": (
        0,
        r"workflow-\w{26} `release`: completed(.|\n)*",
        r"workflow-",
    ),
}
FILES = {
    "Makefile": "test:\n\t@seq -f 'line %g' 39; echo error: one FAILED; echo line 40; exit 1\n",
    "deploy.sh": "#!/bin/sh\necho x >> deployed; sleep 0.1\n",
    "server.sh": "#!/bin/sh\nsleep 1000 & echo serving; wait\n",
    "console-automation.toml": """
[jobs.greet]
command = 'printf "\\"Hello %s\\"" "$WHO" > "$CONSOLE_AUTOMATION_RESULT"'
environment = { WHO = "{name}" }
inputSchema = { properties = { name = { type = "string", default = "you" } } }
""",
    "release.toml": 'name = "release"\n[[steps]]\nid = "greet"\njob = "greet"\n',
}


@pytest.fixture
def project(server: Server, tmp_path: Path) -> Iterator[Shell]:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = Shell(server.home, tmp_path, PATH=path)
    shell.job("workflow", "register", "release.toml")
    yield shell
    shell.job("workflow", "remove", "release")


def test_the_text_followed_line_by_line_does_what_it_says(project: Shell) -> None:
    assert set(LINES) == set(EXPECTED)
    ids: dict[str, list[str]] = {}
    for line in LINES:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=project.directory,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        code, out, err = EXPECTED[line]
        assert done.returncode == code, (line, done)
        assert re.fullmatch(out, done.stdout), (line, done.stdout)
        assert re.search(err, done.stderr) and (err or not done.stderr), (line, done.stderr)
        ids.setdefault(line, []).append(done.stdout)
    first, second = ids["job run -k deploy-42 -n deploy ./deploy.sh"]
    assert first == second
    project.job("wait", "deploy")
    assert (project.directory / "deployed").read_text() == "x\n"


def test_the_words_between_the_lines_are_true_as_well(project: Shell) -> None:
    said = project.job("run", "-n", "pipes", "make test || echo $HOME && pwd", "-w")
    assert said.returncode == 0 and "exit code 0" in said.stderr
    project.run("-n", "long", "sleep 1000")
    assert project.job("wait", "-t", "0.1s", "long").returncode == 124
    assert project.job("stop", "long").returncode == 0
    again = project.job("retry", "pipes")
    assert again.returncode == 0 and project.over(again.stdout.strip())["status"] == "completed"
    assert project.job("status", "nobody").returncode == 3
    assert project.job("wait").returncode == 2
    assert project.job("status", "job-").returncode == 2
    commands = set(re.findall(r"`job (\w+)", TEXT)) | {line.split()[1] for line in LINES}
    for command in commands - {"COMMAND"}:
        assert "examples:" in project.job(command, "--help").stdout


def test_agents_find_in_the_head_what_the_convention_asks_for() -> None:
    head = dict(line.split(": ", 1) for line in TEXT.split("---\n")[1].splitlines())
    assert not re.search(r": | #|^\W", head["description"]), "plain YAML it is no more"
    assert set(head) == {"name", "description"} and head["name"] == "job"
    assert len(head["description"]) <= 1024 and "instead of nohup" in head["description"]
    assert len(TEXT.splitlines()) <= 85 and len(TEXT) < 3_200


# -- where it is written ---------------------------------------------------------------------------


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Shell:
    (tmp_path / "me").mkdir()
    return Shell(home, tmp_path, HOME=str(tmp_path / "me"))


def places(shell: Shell) -> list[Path]:
    me = shell.directory / "me"
    return [me / ".claude/skills/job/SKILL.md", me / ".agents/skills/job/SKILL.md"]


def everything(shell: Shell) -> set[Path]:
    return {path for path in shell.directory.rglob("*") if path.is_file()}


def test_it_is_written_once_where_agents_look_and_shown(shell: Shell) -> None:
    claude, agents = places(shell)
    first = shell.job("skills", "install")
    assert first.stdout == f"written: {claude}\nwritten: {agents}\n\n{TEXT}"
    assert everything(shell) == {claude, agents}
    assert claude.read_text() == agents.read_text() == TEXT
    assert shell.job("skills", "install").stdout.startswith(f"unchanged: {claude}\nunchanged: ")
    assert not any(shell.home.iterdir()), "no daemon is needed for that"


def test_it_is_printed_as_it_would_be_written(shell: Shell) -> None:
    assert shell.job("skills", "show").stdout == TEXT
    assert not everything(shell)


def test_it_can_be_written_into_one_place_alone(shell: Shell) -> None:
    (shell.directory / "repo").mkdir()
    done = shell.job("skills", "install", "--dir", "repo/.claude/skills")
    assert done.returncode == 0
    assert everything(shell) == {shell.directory / "repo/.claude/skills/job/SKILL.md"}
    shell.job("skills", "uninstall", "--dir", "repo/.claude/skills")
    assert not everything(shell)


def test_uninstall_removes_what_was_written_and_nothing_else(shell: Shell) -> None:
    claude, agents = places(shell)
    shell.job("skills", "install")
    theirs = claude.parent / "notes.md"
    theirs.write_text("mine")
    done = shell.job("skills", "uninstall")
    assert done.stdout == f"removed: {claude}\nremoved: {agents}\n"
    assert everything(shell) == {theirs} and not agents.parent.exists()
    assert agents.parent.parent.exists(), "other skills live there"
    assert shell.job("skills", "uninstall").stdout.startswith(f"not there: {claude}\n")


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_what_somebody_has_edited_is_let_be_and_the_rest_is_done(
    shell: Shell, command: str
) -> None:
    claude, agents = places(shell)
    shell.job("skills", "install")
    edited = TEXT.replace("make test", "just test")
    claude.write_text(edited)
    if command == "install":
        agents.unlink()
    done = shell.job("skills", command)
    assert done.returncode == 1 and str(claude) in done.stderr and "edited" in done.stderr
    assert claude.read_text() == edited
    assert agents.exists() is (command == "install")


def test_the_unedited_text_of_another_version_is_replaced(shell: Shell) -> None:
    claude, _ = places(shell)
    claude.parent.mkdir(parents=True)
    claude.write_text(written.sealed("an older text\n", "job skills install", "<!-- %s -->"))
    assert shell.job("skills", "install").stdout.startswith(f"replaced: {claude}\n")
    claude.write_text(claude.read_text().replace("checksum ", "checksum 0"))
    assert shell.job("skills", "install").returncode == 1


def test_a_place_that_cannot_be_written_is_said_plainly(shell: Shell) -> None:
    (shell.directory / "me/.agents").write_text("a file")
    done = shell.job("skills", "install")
    assert done.returncode == 1 and ".agents" in done.stderr
    assert places(shell)[0].read_text() == TEXT
