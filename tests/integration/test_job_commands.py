"""`job list`, `status`, `wait`, `stop`, `retry`, `send`, `clean`: which jobs they mean and what they do."""

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import Gate
from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.waiting import PATIENCE, until_now


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(server.home, tmp_path)


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> Shell:
    """A directory inside of a git repository."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "deep" / "er").mkdir(parents=True)
    return Shell(server.home, tmp_path / "repo" / "deep" / "er")


# -- projects and names ----------------------------------------------------------------------------


def test_a_list_shows_the_project_whose_git_root_is_above(
    server: Server, repository: Shell
) -> None:
    root = repository.directory.parents[1]
    inside, outside = Shell(server.home, root), Shell(server.home, root.parent)
    mine, other = repository.run("true"), outside.run("true")
    for shell in (repository, inside):
        assert [job["id"] for job in shell.json("list")["jobs"]] == [mine]
    assert [job["id"] for job in outside.json("list")["jobs"]] == [other]
    assert {mine, other} <= {job["id"] for job in outside.json("list", "--all")["jobs"]}
    assert repository.status(mine)["project"] == str(root)


def test_a_list_for_programs_is_plain_and_whole(shell: Shell) -> None:
    job_id = shell.run("-n", "plain", f"echo {'x' * 150}")
    shell.over(job_id)
    done = shell.job("list")
    head, row = done.stdout.splitlines()
    assert head.split() == ["ID", "NAME", "STATUS", "TIME", "COMMAND"]
    assert row.startswith(f"{job_id}  plain") and row.endswith("x" * 150)
    assert "\x1b" not in done.stdout
    assert shell.job().stdout.splitlines()[0] == head
    assert shell.job("ls").stdout.splitlines()[0] == head


def test_an_empty_list_says_where_to_look(shell: Shell) -> None:
    done = shell.job("list")
    assert (done.returncode, done.stdout) == (0, "") and "--all" in done.stderr


def test_a_list_can_be_of_what_is_active_or_ended_so(shell: Shell, gate: Gate) -> None:
    failed, runs = shell.run("exit 1"), shell.run("--tag", "a=b", gate.wait)
    shell.over(failed)
    assert [job["id"] for job in shell.json("list", "--active")["jobs"]] == [runs]
    assert [job["id"] for job in shell.json("list", "--status", "failed")["jobs"]] == [failed]
    assert [job["id"] for job in shell.json("list", "--tag", "a=b")["jobs"]] == [runs]
    assert "1 more" in shell.job("list", "--limit", "1").stderr
    gate.open()


def test_a_job_is_known_by_its_id_a_beginning_of_it_or_its_name(shell: Shell) -> None:
    job_id = shell.run("-n", "known", "true")
    for reference in (job_id, job_id[4:], job_id[:25], job_id[4:24], "known"):
        assert shell.status(reference)["id"] == job_id


def test_an_exact_name_beats_a_beginning(shell: Shell) -> None:
    first = shell.run("true")
    named = shell.run("-n", first[4:20], "true")
    assert shell.status(first[4:20])["id"] == named
    assert shell.status(first[4:21])["id"] == first


def test_a_beginning_that_could_be_several_jobs_is_refused_with_the_candidates(
    shell: Shell,
) -> None:
    jobs = [shell.run("true") for _ in range(2)]
    done = shell.job("status", "job-0")
    assert done.returncode == 2 and all(job_id in done.stderr for job_id in jobs)
    stopped = shell.job("stop", "job-0", "--json")
    assert stopped.returncode == 2 and '"INVALID_ARGUMENT"' in stopped.stdout


@pytest.mark.parametrize("reference", ["%", "_", "*", "job-%", "job_", "?", "[a-z]", "' OR 1=1 --"])
def test_characters_that_are_patterns_elsewhere_are_plain(shell: Shell, reference: str) -> None:
    shell.run("true")
    done = shell.job("status", reference)
    assert done.returncode == 3 and reference in done.stderr


def test_a_name_means_the_job_of_this_project_that_is_active_else_its_newest(
    server: Server, shell: Shell, repository: Shell, gate: Gate
) -> None:
    old = shell.run("-n", "twice", "true")
    shell.over(old)
    new = shell.run("-n", "twice", "true")
    shell.over(new)
    assert shell.status("twice")["id"] == new
    active = shell.run("-n", "twice", gate.wait)
    assert shell.status("twice")["id"] == active
    elsewhere = repository.run("-n", "twice", "true")
    assert repository.status("twice")["id"] == elsewhere
    third = Shell(server.home, Path("/"))
    done = third.job("status", "twice")
    assert done.returncode == 2 and active in done.stderr and elsewhere in done.stderr
    gate.open()


def test_nobody_is_not_found(shell: Shell) -> None:
    for words in (["status"], ["logs"], ["stop"], ["wait"], ["retry"], ["send"]):
        done = shell.job(*words, "nobody", *(["x"] if words == ["send"] else []))
        assert (done.returncode, done.stdout) == (3, ""), words
        assert "nobody" in done.stderr
    view = shell.json("status", "nobody")
    assert (view["success"], view["code"]) == (False, "JOB_NOT_FOUND")


# -- one job ---------------------------------------------------------------------------------------


def test_a_status_says_what_is_worth_knowing(shell: Shell) -> None:
    job_id = shell.run("-n", "told", "-t", "1h", "--tag", "k=v", "echo hello; exit 3")
    shell.over(job_id)
    said = shell.job("status", "told").stdout
    for part in (
        job_id,
        "told",
        "exit code 3",
        "echo hello",
        str(shell.directory),
        "1 h 0 min",
        "k=v",
    ):
        assert part in said, part


def test_a_status_without_a_job_is_that_of_the_system(shell: Shell) -> None:
    done = shell.job("status")
    assert done.returncode == 0 and "slots" in done.stdout and str(shell.home) in done.stdout
    assert "concurrency" in shell.json("status")["metrics"]


def test_waiting_ends_with_the_jobs_own_code(shell: Shell) -> None:
    assert shell.job("wait", shell.run("exit 9")).returncode == 9
    assert (
        shell.job("wait", shell.run("true"), shell.run("exit 7"), shell.run("exit 8")).returncode
        == 7
    )


def test_waiting_has_a_limit(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(gate.wait)
    done = shell.job("wait", "-t", "0.1", job_id)
    assert done.returncode == 124 and "running" in done.stdout
    assert shell.json("wait", "-t", "10ms", job_id)["unfinished"] == [job_id]
    gate.open()
    assert shell.job("wait", "-t", "1h", job_id).returncode == 0


def test_one_of_several_may_be_enough(shell: Shell, gate: Gate) -> None:
    slow, quick = shell.run(gate.wait), shell.run("exit 5")
    assert shell.job("wait", "--any", slow, quick).returncode == 5
    gate.open()


def test_waiting_can_be_left(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(gate.wait)
    with shell.begun("wait", job_id) as process:
        shell.running(job_id)
        waiting = psutil.Process(process.pid)
        until_now(lambda: waiting.net_connections("unix"), "its line to the daemon")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert shell.status(job_id)["status"] == "running"
    gate.open()


def test_a_job_is_stopped_and_one_that_is_over_is_left_alone(shell: Shell) -> None:
    job_id = shell.run("sleep 600")
    assert "cancelled" in shell.job("stop", job_id).stdout
    assert shell.status(job_id)["status"] == "cancelled"
    again = shell.job("stop", job_id)
    assert again.returncode == 0 and "over already" in again.stdout


def test_a_job_may_end_by_another_signal(shell: Shell) -> None:
    job_id = shell.run("trap 'exit 6' INT; echo ready; while :; do sleep 0.01; done")
    until_now(lambda: shell.logs(job_id) == "ready\n", "the trap")
    shell.job("stop", "--signal", "INT", "--grace", "10s", job_id)
    assert shell.status(job_id)["exitCode"] == 6


def test_everything_of_a_project_can_be_stopped(shell: Shell, repository: Shell) -> None:
    mine = [shell.run("sleep 600") for _ in range(2)]
    other = repository.run("sleep 600")
    assert shell.job("stop").returncode == 2
    assert shell.job("stop", "--active", mine[0]).returncode == 2
    assert shell.job("stop", "--active").returncode == 0
    assert {shell.status(job_id)["status"] for job_id in mine} == {"cancelled"}
    assert shell.status(other)["status"] in ("running", "pending")
    repository.job("stop", other)


def test_a_finished_job_is_run_again(shell: Shell) -> None:
    first = shell.run("-n", "again", "echo x >> runs; exit 2")
    shell.over(first)
    done = shell.job("retry", "--wait", "again")
    assert done.returncode == 2
    assert (shell.directory / "runs").read_text() == "x\nx\n"
    assert shell.status("again")["retryOf"] == first


def test_a_job_is_written_to(shell: Shell) -> None:
    job_id = shell.run("--stdin", "cat; echo over")
    shell.running(job_id)
    shell.job("send", job_id, "one")
    shell.job("send", "--no-newline", job_id, "two")
    assert shell.job("send", job_id, stdin="\nthree\n").returncode == 0
    assert shell.over(job_id)["status"] == "completed"
    assert shell.logs(job_id) == "one\ntwo\nthree\nover\n"
    late = shell.job("send", job_id, "x")
    assert late.returncode == 1 and "completed" in late.stderr


def test_what_is_written_to_a_job_goes_there_as_it_comes(shell: Shell) -> None:
    job_id = shell.run("--stdin", "cat")
    shell.running(job_id)
    with shell.begun("send", job_id, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("ä\r\n".encode())
        process.stdin.flush()
        until_now(lambda: shell.logs(job_id, "--raw") == "ä\r\n", "the first line")
        process.stdin.write(b"\xff")
        process.stdin.close()
        assert process.wait(PATIENCE) == 2
        assert process.stderr is not None and b"UTF-8" in process.stderr.read()
    shell.job("send", "--eof", job_id)
    assert shell.over(job_id)["status"] == "completed"


def test_finished_jobs_are_removed_where_one_is(
    shell: Shell, repository: Shell, gate: Gate
) -> None:
    mine, other, runs = shell.run("true"), repository.run("true"), shell.run(gate.wait)
    shell.over(mine)
    repository.over(other)
    assert shell.job("clean").stdout.startswith("0 jobs removed")
    assert shell.job("clean", "--older-than", "0s").stdout.startswith("1 job removed")
    assert shell.job("status", mine).returncode == 3
    assert shell.status(runs)["status"] == "running" and shell.status(other)["id"] == other
    gate.open()


def test_any_tool_can_be_called(shell: Shell) -> None:
    job_id = shell.run("true")
    shell.over(job_id)
    done = shell.job("call", "console_get_job_status", f'{{"jobId": "{job_id}"}}')
    assert job_id in done.stdout
    assert shell.job("call", "console_get_job_status", "-", stdin='{"jobId": "x"}').returncode == 3
    assert shell.job("call", "console_get_job_status", "{").returncode == 2
    long = shell.job("call", "console_list_jobs", "-", stdin=json.dumps({"x": "y" * (17 << 20)}))
    assert long.returncode == 2 and "line" in long.stderr
    assert json.loads(long.stdout)["code"] == "INVALID_ARGUMENT"
    wrong = shell.job("call", "console_get_job_stats")
    assert wrong.returncode == 2 and "console_get_job_status" in wrong.stderr


# -- help ------------------------------------------------------------------------------------------


def test_a_wrong_word_is_met_with_the_right_one(shell: Shell) -> None:
    done = shell.job("lits")
    assert done.returncode == 2 and "`job list`" in done.stderr
    assert shell.job("list", "--statsu").returncode == 2
