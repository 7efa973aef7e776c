"""`job define`, `job definitions`, `job exec`, and the file that a project defines its jobs in."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Gate
from tests.integration.daemons import Daemon, killable
from tests.integration.job_command import Shell
from tests.integration.windows import Window
from tests.waiting import PATIENCE

TOML = """
[jobs.greet]
description = "Greet somebody."
command = "printf '\\"Hello %s\\"' \\"$WHO\\" > $CONSOLE_AUTOMATION_RESULT; echo told"
environment = { WHO = "{name}" }
tags = ["text"]
inputSchema = { required = ["name"], properties = { name = { type = "string" }, n = { type = "integer" } } }

[jobs.where]
command = "pwd"
args = []
"""


@pytest.fixture(scope="module")
def daemon(module_home: Path) -> Iterator[Daemon]:
    with killable(module_home) as running:
        yield running


@pytest.fixture
def shell(daemon: Daemon, tmp_path: Path) -> Shell:
    return Shell(daemon.home, tmp_path.resolve())


def test_what_a_file_defines_is_registered_listed_run_and_removed(shell: Shell) -> None:
    (shell.directory / "jobs.toml").write_text(TOML)
    done = shell.job("define", "jobs.toml")
    assert (done.returncode, done.stdout) == (0, "greet\nwhere\n"), done.stderr
    listed = shell.job("definitions", "--tag", "text").stdout
    assert "greet" in listed and "name: string, n?: integer" in listed and "where" not in listed
    shown = json.loads(shell.job("definitions", "greet").stdout)
    assert shown["source"] == "registered" and shown["tags"] == ["text"]
    done = shell.job("exec", "greet", "name=5", "n=5")
    assert (done.returncode, done.stdout) == (0, '"Hello 5"\n'), done.stderr
    done = shell.job("exec", "greet", "name=5", "n=x")
    assert done.returncode == 2 and "input.n" in done.stderr
    assert shell.job("define", "--remove", "greet", "--remove", "where").returncode == 0
    done = shell.job("exec", "greet", "name=5")
    assert done.returncode == 3 and "greet" in done.stderr


def test_a_project_defines_its_own_jobs_which_run_in_its_root(shell: Shell) -> None:
    root = shell.directory
    (root / ".git").mkdir()
    (root / "deep").mkdir()
    (root / "console-automation.toml").write_text(TOML)
    inside = Shell(shell.home, root / "deep")
    job_id = inside.job("exec", "-b", "where").stdout.strip()
    assert inside.over(job_id)["status"] == "completed"
    assert inside.logs(job_id) == f"{root}\n"
    assert json.loads(inside.job("definitions", "where").stdout)["source"] == "project"
    outside = Shell(shell.home, root.parent)
    assert outside.job("definitions", "where").returncode == 3
    (root / "console-automation.toml").write_text(TOML.replace("[jobs.where]", "[jobs.here]"))
    assert inside.job("definitions", "here").returncode == 0
    assert inside.job("definitions", "where").returncode == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[jobs.a]\nargs = []", ("jobs.a", "command is missing")),
        ("[jobs.a]\ncommand = 'c'\ncolour = 1", ("jobs.a", "colour")),
        ("[jobs.a]\ncommand = 'cat {x}'\ninputSchema = {properties = {x = {}}}", ("$X",)),
        ("jobs = 5", ("no table of jobs",)),
        ("[jobs\n", ("not valid TOML",)),
        ("[job.greet]\ncommand = 'true'\n", (": job has no meaning", "[jobs.NAME]")),
    ],
)
def test_a_project_file_that_is_wrong_is_said_to_be_with_its_place(
    shell: Shell, content: str, words: tuple[str, ...]
) -> None:
    (shell.directory / "console-automation.toml").write_text(content)
    done = shell.job("definitions")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for word in ("console-automation.toml", *words):
        assert word in done.stderr


def test_a_pipe_in_the_place_of_a_projects_file_is_no_file(shell: Shell) -> None:
    os.mkfifo(shell.directory / "console-automation.toml")
    assert shell.job("definitions").returncode == 0


def test_jobs_of_a_python_file_are_registered_without_the_daemon_importing_it(
    shell: Shell,
) -> None:
    (shell.directory / "mine.py").write_text(
        "import os\n"
        "from console_automation.typed import job\n"
        "open('imported', 'a').write('x')\n"
        "@job\n"
        "def double(n: int) -> int:\n"
        "    return 2 * n\n"
    )
    done = shell.job("define", "mine.py")
    assert done.stdout == "double\n", done.stderr
    assert (shell.directory / "imported").read_text() == "x"
    done = shell.job("exec", "double", "n=21")
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    assert (shell.directory / "imported").read_text() == "xx"
    assert shell.job("define", "--remove", "double").returncode == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("broken.py", "1 /"),
        ("raises.py", "raise ValueError"),
        ("empty.py", ""),
        ("broken.json", "{"),
        ("no-table.toml", "x = 1"),
        ("flat.toml", "[jobs]\ngreet = 'echo'"),
        ("date.toml", "[jobs.d]\ncommand = 'x'\ninputSchema.properties.day.default = 2026-11-26"),
    ],
)
def test_a_file_that_defines_nothing_is_refused_and_registers_nothing(
    shell: Shell, name: str, content: str
) -> None:
    (shell.directory / name).write_text(content)
    before = shell.json("definitions")["total"]
    with shell.begun("define", name) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2 and name in err.decode()
    assert name.endswith(".py") or "Traceback" not in err.decode()
    assert shell.json("definitions")["total"] == before


def test_a_failing_job_exits_with_its_own_code_and_status_tells_what_it_said(
    shell: Shell,
) -> None:
    definition = {
        "name": "fails",
        "command": 'echo \'{"log": "tried"}\' >> $CONSOLE_AUTOMATION_PROGRESS;'
        ' echo \'{"progress": 1, "total": 3}\' >> $CONSOLE_AUTOMATION_PROGRESS; exit 9',
    }
    assert shell.job("define", "-", stdin=json.dumps(definition)).returncode == 0
    done = shell.job("exec", "fails")
    assert (done.returncode, done.stdout) == (9, "") and "exit code 9" in done.stderr
    job_id = shell.json("list", "--all")["jobs"][0]["id"]
    shown = shell.job("status", job_id).stdout
    assert "tried" in shown and "1 of 3" in shown
    assert shell.status(job_id)["logs"] == ["tried"]
    assert "fails" in shell.job("list").stdout
    assert shell.job("exec", "fails", "--json").returncode == 9
    assert shell.job("define", "--remove", "fails").returncode == 0


def test_a_word_is_text_where_the_definition_takes_text_and_nothing_else(shell: Shell) -> None:
    text = {"type": "string"}
    either = {"anyOf": [text, {"type": "integer"}]}
    optional = {"anyOf": [text, {"type": "null"}]}
    definition = {
        "name": "texts",
        "command": 'printf %s "$CONSOLE_AUTOMATION_INPUT" > $CONSOLE_AUTOMATION_RESULT',
        "inputSchema": {
            "properties": {
                "commit": optional,
                "tag": {"type": ["string", "null"]},
                "kind": {"$ref": "#/$defs/Kind"},
                "either": either,
                "none": optional,
            },
            "$defs": {"Kind": {"type": "string", "enum": ["1", "2"]}},
        },
    }
    assert shell.job("define", "-", stdin=json.dumps(definition)).returncode == 0
    words = ("commit=1234567", "tag=1.0", "kind=2", "either=3", "none=null")
    done = shell.job("exec", "texts", *words)
    assert json.loads(done.stdout or "null") == {
        "commit": "1234567",
        "tag": "1.0",
        "kind": "2",
        "either": 3,
        "none": None,
    }, done.stderr
    assert shell.job("define", "--remove", "texts").returncode == 0


def test_an_input_is_taken_from_a_file_and_completed_by_words(shell: Shell) -> None:
    definition = {
        "name": "sum",
        "command": "echo $((A + B)) > $CONSOLE_AUTOMATION_RESULT",
        "environment": {"A": "{a}", "B": "{b}"},
        "inputSchema": {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    }
    assert shell.job("define", "-", stdin=json.dumps(definition)).returncode == 0
    (shell.directory / "in.json").write_text('{"a": 1, "b": 2}')
    assert shell.job("exec", "sum", "--input", "in.json", "b=5").stdout == "6\n"
    assert shell.job("exec", "sum", "--input", "-", stdin='{"a": 1, "b": 1}').stdout == "2\n"
    for content in ("[1]", "{"):
        done = shell.job("exec", "sum", "--input", "-", stdin=content)
        assert done.returncode == 2 and "--input" in done.stderr
    assert shell.job("define", "--remove", "sum").returncode == 0


@pytest.fixture
def telling(shell: Shell, gate: Gate) -> Iterator[Gate]:
    """A definition whose jobs say how far they are, print, and go on through two gates; this is the
    second one."""
    last = Gate(shell.directory / "last")
    definition = {
        "name": "tells",
        "command": f"""
            tell() {{ printf '%s\\n' "$1" >> $CONSOLE_AUTOMATION_PROGRESS; echo noise; }}
            tell '{{"progress": 1, "total": 3, "message": "\\u001b[2Jweighing\\n{"界" * 60}"}}'
            {gate.wait}
            tell '{{"progress": 2, "total": 3}}'
            {last.wait}
            echo '[1, 2]' > $CONSOLE_AUTOMATION_RESULT""",
    }
    assert shell.job("define", "-", stdin=json.dumps(definition)).returncode == 0
    yield last
    gate.open()
    last.open()
    assert shell.job("define", "--remove", "tells").returncode == 0


def test_progress_is_one_line_in_its_place_which_is_gone_before_the_result(
    shell: Shell, gate: Gate, telling: Gate
) -> None:
    with Window(shell, "exec", "tells", cols=60) as window:
        first = [line for line in window.until("1 of 3: weighing 界").lines if line]
        assert len(first) == 1, first
        gate.open()
        second = [line for line in window.until("2 of 3").lines if line]
        assert len(second) == 1 and "weighing" not in second[0], second
        telling.open()
        assert window.ended() == 0
        assert [line for line in window.seen().lines if line] == ["[", "  1,", "  2", "]"]


def test_progress_is_gone_when_it_is_left_alone(shell: Shell, gate: Gate, telling: Gate) -> None:
    with Window(shell, "exec", "tells", cols=160) as window:
        window.until("1 of 3: weighing")
        window.type("\x03")
        assert window.ended() == 130
        window.until("detached; it goes on", "job wait")
        assert "weighing" not in window.text()


def test_progress_is_not_shown_where_nobody_watches(
    shell: Shell, gate: Gate, telling: Gate
) -> None:
    gate.open()
    telling.open()
    done = shell.job("exec", "tells")
    assert (done.stdout, done.stderr) == ("[\n  1,\n  2\n]\n", "")
