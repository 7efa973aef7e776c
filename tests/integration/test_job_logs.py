"""`job logs`: what is shown of a job's output, how fast, and how little it can do to a terminal."""

import json
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Gate
from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.waiting import PATIENCE, until_now

ATTACK = r"printf '\033]52;c;aGk=\a\033[31mred\033[0m\033[2J \342\200\256rtl\r\n'"


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(server.home, tmp_path)


@pytest.fixture
def counted(shell: Shell) -> str:
    """A job that has printed 1 to 100 on stdout, and two lines on stderr."""
    job_id = shell.run("echo begin >&2; seq 100; echo end >&2")
    shell.over(job_id)
    return job_id


def test_all_of_it_is_shown_in_the_order_in_which_it_came(shell: Shell) -> None:
    job_id = shell.run("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    shell.over(job_id)
    lines = shell.logs(job_id).splitlines()
    assert sorted(lines) == sorted(f"{s} {i}" for i in (1, 2, 3) for s in ("out", "err"))
    for stream in ("out", "err"):
        assert [line for line in lines if line.startswith(stream)] == [
            f"{stream} {i}" for i in (1, 2, 3)
        ]


def test_the_streams_can_be_had_apart(shell: Shell, counted: str) -> None:
    assert shell.logs(counted, "--stderr") == "begin\nend\n"
    assert shell.logs(counted, "--stdout").split() == [str(n) for n in range(1, 101)]
    assert shell.job("logs", "--stdout", "--stderr", counted).returncode == 2


def test_the_last_lines_and_matching_lines_can_be_had_alone(shell: Shell, counted: str) -> None:
    assert shell.logs(counted, "--tail", "2", "--stdout") == "99\n100\n"
    assert shell.logs(counted, "--grep", "^9.$", "--stdout").split() == [
        str(n) for n in range(90, 100)
    ]
    assert shell.logs(counted, "--grep", "BEGIN", "-i") == "begin\n"
    assert shell.logs(counted, "--grep", "^50$", "-C", "1", "--stdout").split() == [
        "49",
        "50",
        "51",
    ]
    broken = shell.job("logs", "--grep", "(", counted)
    assert broken.returncode == 2 and "grep" in broken.stderr


@pytest.mark.parametrize("options", [[], ["--raw"], ["--stdout"]])
def test_as_many_last_lines_as_were_asked_for_come_however_long_they_are(
    shell: Shell, options: list[str]
) -> None:
    line = "x" * 99
    job_id = shell.run(f"echo first >&2; yes {line} | head -n 40000; echo last")
    shell.over(job_id)
    assert shell.logs(job_id, "--tail", "30000", *options) == f"{line}\n" * 29_999 + "last\n"
    whole = shell.logs(job_id, "--tail", "50000", *options)
    assert whole.count("\n") == 40_001 + ("--stdout" not in options)


def test_a_long_output_comes_whole(shell: Shell) -> None:
    job_id = shell.run("seq 400000")
    shell.over(job_id)
    assert shell.logs(job_id) == "".join(f"{n}\n" for n in range(1, 400_001))


def test_following_begins_with_what_is_there_and_ends_with_the_job(
    shell: Shell, gate: Gate
) -> None:
    job_id = shell.run("-n", "followed", f"seq 10; {gate.wait}; echo end")
    with shell.begun("logs", "-f", "--tail", "1", "followed") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"10\n"
        gate.open()
        assert process.stdout.read() == b"end\n"
        assert process.wait(PATIENCE) == 0
    assert shell.status(job_id)["status"] == "completed"


def test_following_can_be_left_and_the_job_goes_on(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(f"echo begun; {gate.wait}")
    with shell.begun("logs", "-f", job_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None and b"job logs -f" in process.stderr.read()
    assert shell.status(job_id)["status"] == "running"
    gate.open()
    assert shell.over(job_id)["status"] == "completed"


def test_matching_lines_are_followed_too(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(f"echo yes 1; echo no; {gate.wait}; echo no; echo yes 2")
    with shell.begun("logs", "-f", "--grep", "yes", job_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"yes 1\n"
        gate.open()
        assert process.stdout.read() == b"yes 2\n"


def test_what_came_since_a_moment_can_be_had(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(f"seq 50; {gate.wait}; echo late")
    until_now(lambda: "50\n" in shell.logs(job_id), "the first lines")
    moment = shell.json("logs", job_id)["output"][-1]["timestamp"]
    gate.open()
    shell.over(job_id)
    late = shell.json("logs", job_id)["output"][-1]["timestamp"]
    assert shell.logs(job_id, "--since", late) == "late\n"
    assert shell.logs(job_id, "--since", moment).endswith("late\n")
    assert shell.logs(job_id, "--since", "1h").startswith("1\n")
    assert shell.logs(job_id, "--since", "2999-01-01") == ""
    assert shell.logs(job_id, "--since", "9999999d").startswith("1\n")
    for wrong in ("yesterday", "", "0001-01-01"):
        assert shell.job("logs", "--since", wrong, job_id).returncode == 2


def test_each_line_can_have_its_time_before_it(shell: Shell, counted: str) -> None:
    lines = shell.logs(counted, "--timestamps").splitlines()
    assert len(lines) == 102
    for line in lines:
        at, _, text = line.partition(" ")
        assert at.endswith("Z") and len(at) == 24 and text


def test_a_line_that_comes_in_two_pieces_has_one_time(shell: Shell, gate: Gate) -> None:
    job_id = shell.run(f"printf first; {gate.wait}; echo ' second'")
    until_now(lambda: shell.logs(job_id) == "first", "the first half")
    gate.open()
    shell.over(job_id)
    (line,) = shell.logs(job_id, "--timestamps").splitlines()
    assert line.partition(" ")[2] == "first second"


def test_control_sequences_of_a_job_are_inert(shell: Shell) -> None:
    job_id = shell.run(ATTACK)
    shell.over(job_id)
    for options in ([], ["--tail", "5"], ["--timestamps"], ["--grep", "red"], ["-f"]):
        shown = shell.logs(job_id, *options)
        assert shown.endswith("red rtl\n"), options
        assert not any(ord(c) < 32 and c != "\n" for c in shown)
    assert shell.logs(job_id, "--raw").startswith("\x1b]52;c;aGk=\x07\x1b[31mred")


def test_bytes_that_are_no_text_come_as_they_are_when_asked_for(shell: Shell) -> None:
    job_id = shell.run(r"printf 'a\377\000b'")
    shell.over(job_id)
    assert shell.logs(job_id, "--raw").encode("utf-8", "surrogateescape") == b"a\xff\x00b"
    assert shell.logs(job_id) == "a\ufffdb"


def test_whoever_has_read_enough_may_hang_up(shell: Shell) -> None:
    job_id = shell.run("seq 200000")
    shell.over(job_id)
    with shell.begun("logs", job_id) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"1\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


def test_a_disk_that_is_full_is_said_plainly(shell: Shell, counted: str) -> None:
    with Path("/dev/full").open("wb") as full, shell.begun("logs", counted, stdout=full) as process:
        assert process.stderr is not None
        assert process.wait(PATIENCE) == 1
        said = process.stderr.read()
    assert said.startswith(b"job: ") and b"Traceback" not in said


def test_as_json_pages_come_one_a_line(shell: Shell) -> None:
    job_id = shell.run("seq 400000")
    shell.over(job_id)
    done = shell.job("logs", "--json", job_id)
    pages = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(pages) > 1 and all(page["jobId"] == job_id for page in pages)
    assert [page["hasMore"] for page in pages] == [True] * (len(pages) - 1) + [False]
