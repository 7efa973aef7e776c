"""`job run`: what a command means, where it runs and with what, and staying with it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Gate
from tests.integration.job_command import PYTHON, Shell
from tests.integration.servers import Server
from tests.waiting import PATIENCE, until_now


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(server.home, tmp_path)


def test_one_word_is_a_line_for_the_shell(shell: Shell) -> None:
    job_id = shell.run("echo one; echo $((1 + 1))")
    assert shell.over(job_id)["shell"] is True
    assert shell.logs(job_id) == "one\n2\n"


@pytest.mark.parametrize("dashes", [[], ["--"]])
def test_several_words_are_a_program_and_its_arguments(shell: Shell, dashes: list[str]) -> None:
    job_id = shell.run(*dashes, "printf", "[%s]", "$HOME", "a b", "--json", "-n", "")
    assert shell.over(job_id)["shell"] is False
    assert shell.logs(job_id) == "[$HOME][a b][--json][-n][]"


def test_one_word_behind_dashes_is_a_program(shell: Shell) -> None:
    done = shell.job("run", "--", "echo hello")
    assert done.returncode == 127 and "echo hello" in done.stderr


def test_options_may_stand_behind_a_quoted_line(shell: Shell) -> None:
    job_id = shell.run("echo $A", "-e", "A=b", "--name", "behind", "--tag", "x=y")
    job = shell.over(job_id)
    assert (job["name"], job["tags"], shell.logs(job_id)) == ("behind", {"x": "y"}, "b\n")


def test_a_job_runs_where_the_caller_is_with_what_the_caller_has(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "inner").mkdir()
    shell = Shell(server.home, tmp_path / "inner", ONLY_HERE="yes", LANG="C")
    job_id = shell.run('pwd; echo "$ONLY_HERE $LANG ${CONSOLE_AUTOMATION_REPORT-none}"')
    shell.over(job_id)
    assert shell.logs(job_id) == f"{tmp_path}/inner\nyes C none\n"


def test_another_directory_may_be_relative(shell: Shell) -> None:
    (shell.directory / "sub").mkdir()
    job_id = shell.run("-d", "sub", "pwd")
    shell.over(job_id)
    assert shell.logs(job_id) == f"{shell.directory}/sub\n"


def test_a_job_has_no_timeout_unless_it_is_given_one(shell: Shell) -> None:
    assert shell.over(shell.run("true"))["timeout"] == 0
    job = shell.over(shell.run("-t", "0.05", "sleep 60"))
    assert (job["status"], job["reason"], job["timeout"]) == ("failed", "timeout", 50)


@pytest.mark.parametrize(
    ("written", "ms"), [("90s", 90_000), ("5m", 300_000), ("1h30m", 5_400_000), ("7d", 604_800_000)]
)
def test_a_timeout_is_written_as_people_write_it(shell: Shell, written: str, ms: int) -> None:
    assert shell.status(shell.run("-t", written, "true"))["timeout"] == ms


@pytest.mark.parametrize("written", ["", "5x", "-1", "1h-3m", "soon", "nan", "1e3"])
def test_a_timeout_that_is_none_is_refused_with_an_example(shell: Shell, written: str) -> None:
    done = shell.job("run", f"--timeout={written}", "true")
    assert done.returncode == 2 and "30s" in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("true", 0),
        ("exit 1", 1),
        ("exit 42", 42),
        ("exit 124", 124),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ],
)
@pytest.mark.parametrize("option", ["--wait", "--follow"])
def test_whoever_waits_ends_with_the_jobs_own_code(
    shell: Shell, line: str, code: int, option: str
) -> None:
    assert shell.job("run", option, line).returncode == code


def test_a_timeout_is_no_success_though_the_program_says_so(shell: Shell) -> None:
    line = "trap 'exit 0' TERM; sleep 60 & wait"
    assert shell.job("run", "-w", "-t", "1s", line).returncode == 1


def test_followed_output_is_shown_while_it_comes(shell: Shell, gate: Gate) -> None:
    with shell.begun("run", "-f", f"echo first; {gate.wait}; echo last") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        gate.open()
        assert process.stdout.read() == b"last\n"
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("option", ["-w", "-f"])
def test_ctrl_c_detaches_and_says_how_to_come_back(
    shell: Shell, gate: Gate, option: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    with shell.begun(
        "run", "-n", f"left{option}", option, f"touch {begun}; {gate.wait}"
    ) as process:
        until_now(begun.exists, "the command")
        job = shell.running(f"left{option}")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert f"job logs -f {job['id']}" in said and f"job stop {job['id']}" in said
    gate.open()
    assert shell.over(job["id"])["status"] == "completed"


def test_the_same_key_starts_one_job(shell: Shell) -> None:
    key = f"once-{shell.directory}"
    first = shell.run("-k", key, "echo once")
    assert shell.run("-k", key, "echo once") == first
    other = shell.job("run", "-k", key, "echo twice")
    assert other.returncode == 1 and first in other.stderr


def test_a_job_starts_after_another_that_is_named(shell: Shell, gate: Gate) -> None:
    shell.run("-n", "first", f"{gate.wait}; touch done")
    second = shell.run("--after", "first", "ls", "done")
    assert shell.status(second)["status"] == "pending"
    gate.open()
    shell.over(second)
    assert shell.logs(second) == "done\n"


def test_a_job_is_tried_again(shell: Shell) -> None:
    job_id = shell.run("--retry", "2", "echo try; [ -e seen ] || { touch seen; exit 1; }")
    job = shell.over(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 2)


def test_a_job_is_fed_a_file_or_what_comes_on_stdin(shell: Shell) -> None:
    (shell.directory / "rows").write_text("a\nb\n")
    assert shell.job("run", "-f", "--input", "rows", "cat").stdout == "a\nb\n"
    assert shell.job("run", "-f", "--input", "-", "cat", stdin="c\n").stdout == "c\n"
    done = shell.job("run", "--input", "nothing", "cat")
    assert done.returncode == 1 and "nothing" in done.stderr


def test_a_shell_that_waits_leaves_its_own_stdin_alone(shell: Shell) -> None:
    script = f"{PYTHON} -m console_automation.frontends.cli run -w cat; cat"
    done = subprocess.run(
        ["sh", "-c", script],
        input=b"mine\n",
        env=shell.environment,
        cwd=shell.directory,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout == b"mine\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "say what to run"),
        (["--"], 2, "say what to run"),
        ([" "], 2, "blank"),
        (["no-such-program"], 127, "no-such-program"),
        (["/etc/passwd"], 126, "/etc/passwd"),
        (["-d", "/no/such/place", "true"], 2, "/no/such/place"),
        (["-p", "11", "true"], 2, "priority"),
        (["-p", "high", "true"], 2, "high"),
        (["-e", "novalue", "true"], 2, "NAME=VALUE"),
        (["--after", "nobody", "true"], 3, "nobody"),
        (["-n", "a\nb", "true"], 2, "name"),
        (["--no-such-option", "true"], 2, "--help"),
        (["-n", "x" * 300, "true"], 2, "name"),
        (["a\udcffb", "c"], 2, "command"),
        (["echo quoted", "ls"], 2, "behind a quoted line"),
        (["echo quoted", "-n", "x", "ls"], 2, "behind a quoted line"),
        (["--retry", "0", "true"], 2, "maxAttempts"),
        (["-k", "", "true"], 2, "idempotencyKey"),
        (["--input", "/dev/zero", "cat"], 2, "more than 1 MiB"),
    ],
)
def test_what_cannot_be_run_is_refused_and_starts_nothing(
    shell: Shell, server: Server, words: list[str], code: int, said: str
) -> None:
    before = server.totals()
    done = shell.job("run", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and done.stderr.startswith("job: ")
    assert server.totals() == before


def test_a_name_is_free_again_when_its_job_is_over(shell: Shell, gate: Gate) -> None:
    first = shell.run("-n", "taken", gate.wait)
    again = shell.job("run", "-n", "taken", "true")
    assert again.returncode == 1 and first in again.stderr
    gate.open()
    shell.over(first)
    assert shell.run("-n", "taken", "true") != first


def test_at_its_end_a_line_is_run_that_knows_the_job(shell: Shell, gate: Gate) -> None:
    told = shell.directory / "told"
    line = f'echo "$JOB_ID $JOB_NAME $JOB_STATUS $JOB_EXIT_CODE $JOB_REASON" > {told}'
    job_id = shell.run("-n", "noticed", "--notify", line, f"{gate.wait}; exit 3")
    assert shell.running(job_id) and not told.exists()
    gate.open()
    until_now(lambda: told.exists() and told.read_text().endswith("\n"), "the notification")
    assert told.read_text() == f"{job_id} noticed failed 3 exit_code\n"


def test_the_line_of_a_notification_may_be_any_text(shell: Shell) -> None:
    told = shell.directory / "told"
    line = f"""echo 'a "quoted" line'  # {"x" * 300}
    echo "$JOB_NAME" > {told}"""
    job_id = shell.run("-n", "it's", "--notify", line, "true")
    until_now(lambda: told.exists() and told.read_text() == "it's\n", "the notification")
    started = shell.json("list", "--tag", f"notify={job_id}")["jobs"]
    assert [job["status"] for job in map(shell.over, (job["id"] for job in started))] == [
        "completed"
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://127.0.0.1/", "options.notify.1.webhook: 127.0.0.1 is not a public address"),
        ("https://me:secret@example.org/", "must not hold a user or a password"),
        ("mailto:me@example.org", "options.notify.1.email: no mail can be sent without"),
        ("mailto:me", "must be one plain address"),
    ],
)
def test_somebody_who_cannot_be_told_is_refused_before_there_is_a_job(
    shell: Shell, given: str, said: str
) -> None:
    before = shell.json("list", "--all")["total"]
    done = shell.job("run", "--notify", "true", "--notify", given, "true")
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr
    assert shell.json("list", "--all")["total"] == before


def test_an_error_is_json_only_when_the_option_was_ours(shell: Shell) -> None:
    assert shell.job("run", "no-such-program", "--json").stdout == ""
    assert shell.job("run", "--json", "no-such-program").stdout.startswith('{"success": false')
    assert shell.job("run", "--json", "--bogus").stdout.startswith('{"success": false')


@pytest.mark.parametrize(("columns", "cols"), [("9999", 500), ("1", 2)])
def test_a_terminal_is_no_larger_than_terminals_are(shell: Shell, columns: str, cols: int) -> None:
    shell.environment["COLUMNS"] = columns
    assert shell.status(shell.run("--tty", "true"))["terminal"]["cols"] == cols


def test_variables_that_are_no_text_arrive_as_they_are(shell: Shell) -> None:
    shell.environment["ODD"] = "\udcff\u00fc"
    job_id = shell.run('printf %s "$ODD"')
    shell.over(job_id)
    assert shell.logs(job_id, "--raw").encode("utf-8", "surrogateescape") == b"\xff\xc3\xbc"


def test_a_job_may_have_a_terminal(shell: Shell) -> None:
    done = shell.job("run", "-f", "--tty", "tty; stty size; echo $TERM; exit 5")
    assert done.returncode == 5
    device, size, term = done.stdout.splitlines()
    assert device.startswith("/dev/") and size == "32 120" and term == "xterm-256color"
    refused = shell.job("run", "--tty", "--input", "/dev/null", "cat")
    assert refused.returncode == 2 and "stdin" in refused.stderr


def test_a_terminal_is_typed_into(shell: Shell) -> None:
    job_id = shell.run("--tty", "read a; echo got $a; cat")
    shell.running(job_id)
    shell.job("send", job_id, "one")
    until_now(lambda: "got one" in shell.logs(job_id), "the answer")
    shell.job("send", "--eof", job_id)
    assert shell.over(job_id)["status"] == "completed"
    assert shell.status(job_id)["terminal"] == {"cols": 120, "rows": 32}


def test_a_nested_job_is_a_job_of_its_own(shell: Shell) -> None:
    nested = f"{PYTHON} -m console_automation.frontends.cli run -w 'echo $CONSOLE_AUTOMATION_RUN'"
    outer = shell.run(f'echo "$CONSOLE_AUTOMATION_RUN"; {nested}')
    assert shell.over(outer)["status"] == "completed"
    inner = next(job for job in shell.json("list")["jobs"] if job["id"] != outer)
    assert shell.logs(inner["id"]) == f"{inner['id']}.1\n"
    assert shell.logs(outer).startswith(f"{outer}.1\n")


def test_a_directory_that_is_gone_is_no_reason_to_fail(server: Server, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        f"cd {gone} && rmdir {gone} && exec {PYTHON} -m console_automation.frontends.cli run pwd"
    )
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "CONSOLE_AUTOMATION_HOME": str(server.home), "HOME": "/"},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
