"""`job session`: sessions from a shell, as a person or a script uses them."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Gate
from tests.integration.job_command import Shell
from tests.integration.servers import Server
from tests.waiting import PATIENCE, until_now


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Iterator[Shell]:
    """Runs `job`; what it opens is closed in the end."""
    shell = Shell(server.home, tmp_path, SHELL="/bin/bash", HOME=str(tmp_path))
    yield shell
    if found := shell.json("session", "ls")["sessions"]:
        shell.job("session", "stop", "--force", *[each["sessionId"] for each in found])


def opened(shell: Shell, *words: str) -> str:
    """Open a session and return its id."""
    done = shell.job("session", "new", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(shell: Shell, session_id: str) -> dict[str, object]:
    """Return how a session stands."""
    asked = json.dumps({"sessionId": session_id})
    found: dict[str, object] = json.loads(
        shell.job("call", "console_get_session_state", asked).stdout
    )
    return found


def idle(shell: Shell, session_id: str) -> None:
    until_now(lambda: state(shell, session_id)["state"] == "idle", "the shell at its prompt")


def test_a_new_session_is_the_shell_of_the_caller_where_the_caller_is(
    shell: Shell, tmp_path: Path
) -> None:
    shell.environment["MINE"] = "of the caller"
    done = shell.job("session", "new", "-n", "here")
    assert done.stdout.startswith("session-") and "job attach here" in done.stderr
    idle(shell, done.stdout.strip())
    seen = shell.job("session", "exec", "here", 'echo "$0 $PWD $MINE"')
    assert (seen.returncode, seen.stderr) == (0, "")
    assert seen.stdout == f"/bin/bash {tmp_path} of the caller\n"


def test_a_program_can_be_opened_with_its_arguments_a_directory_and_variables(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    options = ["-d", "sub", "-e", "X=set"]
    session_id = opened(shell, *options, "--", "sh", "-c", 'echo "$X $PWD $1"; cat', "-", "a  b")
    shown = f"set {tmp_path}/sub a  b"
    until_now(lambda: shown in shell.job("session", "screen", session_id).stdout, "its output")


def test_a_command_has_its_own_output_and_exit_code(shell: Shell) -> None:
    idle(shell, opened(shell, "-n", "own", "bash"))
    done = shell.job("session", "exec", "own", "cd /; echo out; echo err >&2; (exit 42)")
    assert (done.returncode, done.stdout, done.stderr) == (42, "out\nerr\n", "")
    assert shell.job("session", "exec", "own", "pwd").stdout == "/\n"
    quoted = shell.job("session", "exec", "own", "--", "printf", "%s|", "a b", "$HOME", "c'd")
    assert quoted.stdout == "a b|$HOME|c'd|"
    killed = shell.job("session", "exec", "own", "sh -c 'kill -TERM $$'")
    assert killed.returncode == 143


def test_a_long_output_comes_whole(shell: Shell) -> None:
    idle(shell, opened(shell, "-n", "long", "bash"))
    done = shell.job("session", "exec", "long", "seq 100000")
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 100_001))


def test_the_output_of_a_command_comes_while_it_runs_and_does_nothing(
    shell: Shell, gate: Gate
) -> None:
    idle(shell, opened(shell, "-n", "slow", "bash"))
    attack = r"printf '\033]52;c;aGk=\a\033[31mred\033[m\n'"
    with shell.begun("session", "exec", "slow", f"{attack}; {gate.wait}; echo end") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"red\n"
        gate.open()
        assert process.stdout.read() == b"end\n"
        assert process.wait(PATIENCE) == 0


def test_a_command_outlasts_the_waits_of_the_tools(shell: Shell, gate: Gate) -> None:
    """The daemon here lets a call wait for a second at most."""
    idle(shell, opened(shell, "-n", "patient", "bash"))
    with shell.begun("session", "exec", "patient", f"{gate.wait}; exit 7") as process:
        began = time.monotonic()
        until_now(lambda: time.monotonic() > began + 2.5, "some calls' time")
        assert process.poll() is None
        gate.open()
        assert process.wait(PATIENCE) == 7


def test_when_the_time_is_up_it_goes_on_and_can_be_taken_up_again(shell: Shell, gate: Gate) -> None:
    session_id = opened(shell, "-n", "late", "bash")
    idle(shell, session_id)
    done = shell.job("session", "exec", "-t", "100ms", "late", f"echo begun; {gate.wait}; (exit 5)")
    assert done.returncode == 124
    assert f"job session exec {session_id}" in done.stderr and "ctrl+c" in done.stderr
    busy = shell.job("session", "exec", "late", "true")
    assert busy.returncode == 1 and "`job session key` ctrl+c" in busy.stderr
    again = shell.job("session", "exec", "-t", "100ms", "late")
    assert (again.returncode, again.stdout) == (124, "begun\n")
    gate.open()
    over = shell.job("session", "exec", "late")
    assert (over.returncode, over.stdout) == (5, "begun\n")


def test_it_can_be_left_with_ctrl_c_and_goes_on(shell: Shell, gate: Gate) -> None:
    session_id = opened(shell, "-n", "left", "bash")
    idle(shell, session_id)
    with shell.begun("session", "exec", "left", f"echo begun; {gate.wait}; echo end") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert f"job session exec {session_id}".encode() in process.stderr.read()
    assert state(shell, session_id)["state"] == "executing"
    gate.open()
    assert shell.job("session", "exec", "left").stdout == "begun\nend\n"


def test_a_command_that_ends_the_shell_gives_its_exit_code(shell: Shell) -> None:
    session_id = opened(shell, "-n", "ends", "bash")
    idle(shell, session_id)
    assert shell.job("session", "exec", "ends", "exit 9").returncode == 9
    refused = shell.job("session", "exec", "ends", "true")
    assert refused.returncode == 1
    assert "exit code 9" in refused.stderr and "`job session logs`" in refused.stderr


def test_where_nothing_was_executed_there_is_nothing_to_take_up(shell: Shell) -> None:
    opened(shell, "-n", "new", "bash")
    done = shell.job("session", "exec", "new")
    assert done.returncode == 2 and "nothing was executed" in done.stderr


def test_a_program_is_typed_to_and_looked_at(shell: Shell) -> None:
    opened(shell, "-n", "cat", "cat")
    assert shell.job("session", "send", "cat", "hello there").returncode == 0
    assert shell.job("session", "send", "--no-enter", "cat", "and ").returncode == 0
    assert shell.job("session", "send", "cat", stdin="from stdin\n").returncode == 0

    def shown() -> bool:
        return shell.job("session", "screen", "cat").stdout == (
            "hello there\nhello there\nand from stdin\nand from stdin\n"
        )

    until_now(shown, "the screen")
    assert shell.job("session", "logs", "--tail", "1", "cat").stdout == "and from stdin\n"
    assert (
        shell.job("session", "logs", "--grep", "HELLO", "-i", "cat").stdout == "hello there\n" * 2
    )
    assert b"\r\n" in shell.job("session", "logs", "--raw", "cat").stdout.encode()
    assert shell.job("session", "key", "cat", "enter", "ctrl+d").returncode == 0
    until_now(lambda: not shell.json("session", "ls")["sessions"], "its end")
    unknown = shell.job("session", "key", "cat", "ctrl+foo")
    assert unknown.returncode != 0


def test_its_output_can_be_followed_until_it_is_closed(shell: Shell, gate: Gate) -> None:
    opened(shell, "-n", "followed", f"echo begun; {gate.wait}; echo end")
    with shell.begun("session", "logs", "-f", "followed") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        gate.open()
        assert process.stdout.read() == b"end\n"
        assert process.wait(PATIENCE) == 0


def test_following_can_be_left(shell: Shell) -> None:
    session_id = opened(shell, "-n", "left2", "echo begun; cat")
    with shell.begun("session", "logs", "-f", "left2") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert f"job session logs -f {session_id}".encode() in process.stderr.read()


def test_those_that_are_open_are_listed_and_with_all_the_others_too(shell: Shell) -> None:
    closed = opened(shell, "-n", "was", "exit 3")
    until_now(lambda: not shell.json("session", "ls")["sessions"], "its end")
    session_id = opened(shell, "-n", "is", "cat")
    for words in (["session"], ["session", "ls"]):
        (row,) = shell.job(*words).stdout.splitlines()[1:]
        assert row.split()[:3] == [session_id, "is", "open"] and row.endswith("cat")
    rows = shell.job("session", "ls", "--all").stdout.splitlines()
    assert rows[0].split() == ["ID", "NAME", "STATUS", "TIME", "HOST", "COMMAND"]
    (row,) = [each for each in rows if closed in each]
    assert row.split()[1:4] == ["was", "closed", "3"]


def test_a_terminal_gets_another_size(shell: Shell) -> None:
    opened(shell, "-n", "sized", "bash")
    assert shell.job("session", "resize", "sized", "90", "30").returncode == 0
    assert shell.job("session", "resize", "sized", "1", "30").returncode == 2
    screen = shell.json("session", "screen", "sized")
    assert (screen["cols"], screen["rows"]) == (90, 30)


def test_several_are_closed_at_once(shell: Shell) -> None:
    ids = [opened(shell, "cat") for _ in range(2)]
    done = shell.job("session", "stop", *ids)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ids
    assert all("closed (stopped" in line for line in done.stdout.splitlines())


def test_a_session_is_found_by_id_beginning_or_name(shell: Shell) -> None:
    first = opened(shell, "-n", "same", "cat")
    for reference in (first, first.removeprefix("session-"), first[:-3], "same"):
        assert shell.json("session", "screen", reference)["sessionId"] == first
    second = opened(shell, "-n", "same", "cat")
    done = shell.job("session", "screen", "same")
    assert done.returncode == 2 and first in done.stderr and second in done.stderr
    shell.job("session", "stop", first)
    assert shell.json("session", "screen", "same")["sessionId"] == second
    for reference in ("nothing", "sam", "same_", "%", "session-zzz", ""):
        missing = shell.job("session", "screen", reference)
        assert (missing.returncode, missing.stdout) == (3, ""), reference


def test_as_json_the_tools_results_are_printed_unchanged(shell: Shell) -> None:
    created = json.loads(shell.job("session", "new", "--json", "-n", "json", "bash").stdout)
    assert created["success"] and created["sessionId"].startswith("session-")
    idle(shell, created["sessionId"])
    done = shell.job("session", "exec", "--json", "json", "echo hi; (exit 4)")
    result = json.loads(done.stdout)
    assert (done.returncode, result["exitCode"], result["output"]) == (4, 4, "hi\n")
    late = shell.job("session", "exec", "--json", "-t", "0s", "json", "sleep 100")
    assert (late.returncode, json.loads(late.stdout)["status"]) == (124, "running")
    assert shell.json("session", "key", "json", "ctrl+c")["accepted"] == 1
    idle(shell, created["sessionId"])
    assert shell.json("session", "send", "json", "true")["accepted"] == 5
    assert shell.json("session", "ls")["open"] == 1
    assert shell.json("session", "logs", "json")["sessionId"] == created["sessionId"]
    assert shell.json("session", "resize", "json", "90", "30")["cols"] == 90
    assert shell.json("session", "stop", "json")["stopped"] is True
    done = shell.job("session", "exec", "--json", "json", "true")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "SESSION_CLOSED")


def test_what_is_wrong_is_said(shell: Shell) -> None:
    for words, code in (
        (["session", "new", "--port", "22"], 2),
        (["session", "new", "no-such-program-anywhere"], 127),
        (["session", "new", "-d", "/nowhere"], 2),
        (["session", "new", "--ssh", "-oProxyCommand=x"], 2),
        (["session", "new", "--attach"], 2),
        (["session", "fly"], 2),
        (["session", "send"], 2),
    ):
        done = shell.job(*words)
        assert (done.returncode, done.stdout) == (code, ""), words
        assert done.stderr.startswith("job: "), words
