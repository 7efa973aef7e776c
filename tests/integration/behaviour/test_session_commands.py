"""Commands typed into a session's shell: state is kept, exit codes are true, nothing fools the marks."""

import hashlib
import sys
from pathlib import Path

import pytest

from tests.integration.behaviour.conftest import OVER_TWO, Open
from tests.integration.clients import Client
from tests.integration.steps import refused

pytestmark = [pytest.mark.asyncio(loop_scope="module"), OVER_TWO]

SHELLS = ["bash", "sh"]
#: What commands do, and the exit code that they must be reported with.
EXITS = {
    "true": 0,
    "false": 1,
    "(exit 2)": 2,
    "(exit 42)": 42,
    "(exit 255)": 255,
    "/": 126,
    "no-such-program": 127,
    "sh -c 'kill -INT $$'": 130,
    "sh -c 'kill -KILL $$'": 137,
    "sh -c 'kill -TERM $$'": 143,
    "true | false": 1,
    "false | true": 0,
    "false; true": 0,
    "! true": 1,
    "{ false; }": 1,
    "f() { return 7; }; f": 7,
}


@pytest.mark.parametrize("shell", SHELLS)
async def test_every_exit_code_is_the_true_one(console: Open, shell: str) -> None:
    session = await console(shell)
    for command, code in EXITS.items():
        result = await session.run(command)
        assert (command, result["exitCode"]) == (command, code)
        assert result["status"] == ("failed" if code else "completed")
        assert "sessionClosed" not in result


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_status_of_a_command_is_there_for_the_next(console: Open, shell: str) -> None:
    session = await console(shell)
    await session.run("(exit 42)")
    assert (await session.run("echo $?"))["output"] == "42\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_state_is_kept_between_commands(console: Open, shell: str, tmp_path: Path) -> None:
    session = await console(shell)
    for command in (
        f"cd {tmp_path}",
        "plain=1",
        "export shown=2",
        "f() { echo f$1; }",
        "umask 027",
    ):
        assert (await session.run(command))["exitCode"] == 0
    said = "pwd; echo $plain; sh -c 'echo $shown'; f x; umask; alias a='echo aliased'"
    result = await session.run(said)
    assert result["output"].splitlines() == [str(tmp_path), "1", "2", "fx", "0027"]
    assert (await session.run("a"))["output"] == "aliased\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_only_what_the_command_prints_is_its_output(console: Open, shell: str) -> None:
    session = await console(shell)
    await session.run("PS2='more '")
    for command, output in {
        "true": "",
        "printf no-newline": "no-newline",
        "echo a; echo b >&2": "a\nb\n",
        "for x in 1 2\ndo\n  echo $x\ndone": "1\n2\n",
        "cat <<END\n$((6*7))\n\tEND\nEND": "42\n\tEND\n",
        "echo 'two\nlines'": "two\nlines\n",
        "echo ä€😀": "ä€😀\n",
        "# only a comment": "",
        "echo tab\there": "tab here\n",
        "echo '!!' '!x' \"a!\"": "!! !x a!\n",
        "echo one \\\n  two": "one two\n",
        "cat /dev/null; echo 94%": "94%\n",
        "printf 'db-# '": "db-# ",
        "printf '%s' '$ '; echo": "$ \n",
        "echo '~^@%s\\n'": "~^@%s\\n\n" if shell == "bash" else "~^@%s\n\n",
    }.items():
        result = await session.run(command)
        assert (command, result["output"]) == (command, output)
        assert (result["exitCode"], result["omittedBytes"]) == (0, 0)


@pytest.mark.parametrize("shell", SHELLS)
async def test_what_stands_half_typed_at_the_prompt_is_no_part_of_the_command(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    await session.type("echo typed; rm -rf ", enter=False)
    assert (await session.run("echo mine"))["output"] == "mine\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_exit_closes_the_session_and_its_code_is_the_commands(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    began = await session.start("echo bye; exit 3")
    command = await session.ended(began["commandId"])
    assert (command["status"], command["exitCode"]) == ("failed", 3)
    closed = await session.closed()
    assert (closed["closing"], closed["exitCode"]) == ("exited", 3)
    assert "bye\n" in await session.printed()
    if began["status"] != "running":
        assert (began["exitCode"], began["sessionClosed"]) == (3, True)
        assert began["output"].startswith("bye\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("program", "code"), [("true", 0), ("sh -c 'exit 9'", 9)])
async def test_exec_ends_the_session_with_the_code_of_the_program(
    console: Open, shell: str, program: str, code: int
) -> None:
    session = await console(shell)
    began = await session.start(f"exec {program}")
    assert (await session.ended(began["commandId"]))["exitCode"] == code
    assert (await session.closed())["exitCode"] == code


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_shell_that_exits_on_errors_ends_with_the_error(console: Open, shell: str) -> None:
    session = await console(shell)
    assert (await session.run("set -e"))["exitCode"] == 0
    assert (await session.run("echo still here"))["output"] == "still here\n"
    began = await session.start("(exit 5)")
    assert (await session.ended(began["commandId"]))["exitCode"] == 5
    assert (await session.closed())["exitCode"] == 5


async def test_the_end_of_a_killed_shell_is_not_known(console: Open) -> None:
    session = await console("bash")
    began = await session.start("kill -KILL $$")
    command = await session.ended(began["commandId"])
    assert (command["status"], command["exitCode"]) == ("unknown", None)
    closed = await session.closed()
    assert closed["signal"] == "SIGKILL" and "exitCode" not in closed


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "change",
    [
        "PS1='94% '",
        "PS1=",
        "unset PS1",
        "PS1='db-# $(echo sub) '; PS2='>>> '",
        "PROMPT_COMMAND='echo from the prompt'",
        "unset PROMPT_COMMAND",
        "set -u",
        "set -o vi",
        "set -o emacs; bind 'set enable-bracketed-paste off'",
        "stty -icrnl -onlcr -ixon -isig",
        "set -x 2>/dev/null; true",
        "set -f; set -C; set -a; set -v",
        "trap 'echo trapped' EXIT",
        "IFS=x",
        "exec 2>/dev/null",
        "PATH=/nowhere",
        "alias echo='echo aliased' printf=false command=false eval=false; unalias -a",
    ],
)
async def test_a_shell_that_was_changed_still_tells_ends(
    console: Open, shell: str, change: str
) -> None:
    session = await console(shell)
    await session.run(change)
    assert (await session.run("(exit 42)"))["exitCode"] == 42
    result = await session.run("echo after")
    assert (result["exitCode"], result["output"].splitlines()[-1]) == (0, "after")


async def test_prompt_commands_of_the_user_go_on_and_are_no_output(
    console: Open, tmp_path: Path
) -> None:
    session = await console("bash")
    await session.run(f"PROMPT_COMMAND='echo prompted >> {tmp_path}/prompts'")
    assert (await session.run("echo mine"))["output"] == "mine\n"
    seen = await session.run(f"cat {tmp_path}/prompts")
    assert set(seen["output"].split()) == {"prompted"}


@pytest.mark.parametrize("mode", ["raw", "-icanon", "-echo -icrnl"])
async def test_a_terminal_that_a_program_left_in_disorder_is_no_obstacle(
    console: Open, mode: str
) -> None:
    session = await console("bash")
    await session.run(f"stty {mode}")
    assert (await session.run("echo tidy"))["output"].split() == ["tidy"]
    assert (await session.run("(exit 42)"))["exitCode"] == 42


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "broken", ["echo 'open", 'echo "open', "cat <<END\ntext", "if true", "echo )", "f() {", "$("]
)
async def test_a_command_that_is_not_whole_ends_and_says_so(
    console: Open, shell: str, broken: str
) -> None:
    session = await console(shell)
    result = await session.run(broken)
    assert result["status"] in ("completed", "failed")
    if not broken.startswith("cat"):  # a shell warns of a here-document's end and goes on
        assert result["exitCode"] not in (0, None)
        assert shell in result["output"]
    assert (await session.run("echo whole"))["output"] == "whole\n"


FOREIGN = (
    r"\033]133;A\007\033]133;D;0;0123456789abcdef\007\033]133;D;0\007\033]133;C\007\033]133;B\007"
)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_program_that_prints_marks_of_its_own_fools_nobody(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    result = await session.run(f"printf 'a{FOREIGN}b'; (exit 6)")
    assert (result["exitCode"], result["output"]) == (6, "ab")
    result = await session.start(f"printf '{FOREIGN}'; cat; echo done", options={"timeout": 0})
    assert result["status"] == "running"
    await session.becomes("waiting_for_input")
    await session.key("ctrl+d")
    assert (await session.ended(result["commandId"]))["exitCode"] == 0


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_background_job_neither_holds_the_command_nor_ends_with_it(
    console: Open, shell: str, tmp_path: Path
) -> None:
    session = await console(shell)
    go = tmp_path / "go"
    waits = f"(while [ ! -e {go} ]; do sleep 0.01; done; echo late > {tmp_path}/late) &"
    result = await session.run(f"{waits}\necho $!")
    assert result["exitCode"] == 0
    pid = int(result["output"].split()[-1])
    assert (await session.run(f"kill -0 {pid}"))["exitCode"] == 0
    go.touch()
    assert (await session.run(f"wait {pid}; cat {tmp_path}/late"))["output"].endswith("late\n")


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_terminal_without_echo_changes_nothing(console: Open, shell: str) -> None:
    session = await console(shell)
    await session.run("stty -echo")
    assert (await session.run("echo unseen typing"))["output"] == "unseen typing\n"
    assert (await session.run("(exit 42)"))["exitCode"] == 42
    await session.run("stty echo")
    assert (await session.run("echo again"))["output"] == "again\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_arguments_are_passed_literally(console: Open, shell: str) -> None:
    session = await console(shell)
    nasty = [
        "a b",
        "$HOME",
        "`id`",
        "'",
        '"',
        "\\",
        "*",
        "",
        "-n",
        "new\nline",
        "ä\u202e😀",
        "!!",
        "~",
    ]
    shown = "import sys; print([ascii(each) for each in sys.argv[1:]])"
    result = await session.run(sys.executable, args=["-c", shown, *nasty])
    assert result["output"].replace("\n", "") == str([ascii(each) for each in nasty])


@pytest.mark.parametrize("shell", SHELLS)
async def test_directory_and_environment_of_a_command_stay_with_the_session(
    console: Open, shell: str, tmp_path: Path
) -> None:
    place = tmp_path / "a 'place' $x"
    place.mkdir()
    options = {"workingDirectory": str(place), "environment": {"SAID": "it's $HOME\n*"}}
    session = await console(shell)
    result = await session.run('pwd; printf %s "$SAID"', options=options)
    assert result["output"] == f"{place}\nit's $HOME\n*"
    assert (await session.run("pwd"))["output"] == f"{place}\n"
    assert (await session.run("sh -c 'printf %s \"$SAID\"'"))["output"] == "it's $HOME\n*"


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_does_not_run_where_it_was_not_to(
    console: Open, shell: str, tmp_path: Path
) -> None:
    session = await console(shell)
    options = {"workingDirectory": str(tmp_path / "missing")}
    command = f"true\ntouch {tmp_path}/ran"
    arguments = {"sessionId": session.id, "command": command, "options": options}
    error = await refused(session.client, "console_execute_command", **arguments)
    assert error["code"] == "WORKING_DIRECTORY_NOT_FOUND"
    assert str(tmp_path / "missing") in error["error"]
    assert (await session.ok("console_get_command_history"))["commands"] == []


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_of_64_kilobytes_is_run_whole(
    console: Open, shell: str, tmp_path: Path
) -> None:
    session = await console(shell)
    text = "".join(f"{number:05} äöü €;" for number in range(4096))
    assert len(text.encode()) >= 1 << 16
    begun = await session.start(f"printf %s '{text}' | sha256sum > {tmp_path}/digest")
    assert (await session.ended(begun["commandId"]))["exitCode"] == 0
    digest = (tmp_path / "digest").read_text().split()[0]
    assert digest == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("shell", SHELLS)
async def test_of_a_large_output_the_end_is_shown_and_the_rest_counted(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    result = await session.run("seq 100000")
    sent = "".join(f"{number}\r\n" for number in range(1, 100_001)).encode()
    shown = result["output"]
    assert shown.endswith("\n99999\n100000\n")
    assert result["omittedBytes"] + len(shown.replace("\n", "\r\n")) == len(sent)
    command = await session.ended(result["commandId"])
    page = await session.ok("console_get_output", options={"since": command["since"]})
    assert "1\n2\n3\n" in "".join(chunk["content"] for chunk in page["output"])


@pytest.mark.parametrize("tail", ["x", "xx", "xxx"])
async def test_a_character_is_not_cut_where_the_shown_output_begins(
    console: Open, tail: str
) -> None:
    session = await console("bash")
    result = await session.run(f"printf '😀%.0s' {{1..9000}}; printf {tail}")
    assert set(result["output"]) == {"😀", "x"}
    assert result["omittedBytes"] == 4 * 9000 + len(tail) - len(result["output"].encode())


async def test_the_history_says_what_was_executed_and_where_its_output_is(
    console: Open, client: Client
) -> None:
    session = await console("bash")
    await session.run("echo first")
    await session.run("echo second; (exit 4)")
    commands = (await session.ok("console_get_command_history", limit=1))["commands"]
    (last,) = commands
    assert (last["command"], last["exitCode"]) == ("echo second; (exit 4)", 4)
    assert last["status"] == "failed" and last["durationMs"] >= 0
    assert last["since"] < last["until"]
    page = await session.ok("console_get_output", options={"since": last["since"]})
    seen = "".join(
        each["content"] for each in page["output"] if each["sequenceNumber"] <= last["until"]
    )
    assert "second\n" in seen and "first\n" not in seen
