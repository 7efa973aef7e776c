"""A command in a session that outlasts its time goes on: it is waited for, answered or interrupted."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.behaviour.conftest import OVER_TWO, Open
from tests.integration.conftest import Gate
from tests.integration.steps import refused
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), OVER_TWO]

EXECUTE = "console_execute_command"
SHELLS = ["bash", "sh"]
AT_ONCE = {"timeout": 0}


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_that_is_not_done_in_time_goes_on_and_is_waited_for(
    console: Open, shell: str, gate: Gate
) -> None:
    session = await console(shell)
    result = await session.start(f"echo begun; {gate.wait}; (exit 9)", options={"timeout": 100})
    assert (result["status"], result["exitCode"]) == ("running", None)
    assert "sessionClosed" not in result
    state = await session.ok("console_get_session_state", waitMs=1)
    assert state["state"] == "executing"
    assert state["currentCommand"]["commandId"] == result["commandId"]
    assert result["commandId"] not in [each["commandId"] for each in state["history"]]
    gate.open()
    ended = await session.ended(result["commandId"])
    assert (ended["status"], ended["exitCode"]) == ("failed", 9)
    state = await session.idle()
    assert "currentCommand" not in state
    assert state["history"][0]["commandId"] == result["commandId"]


async def test_waiting_for_the_state_ends_with_the_command(console: Open, gate: Gate) -> None:
    session = await console("bash")
    result = await session.start(gate.wait, options=AT_ONCE)
    gate.open()
    state = await session.state()
    while state["state"] != "idle":
        assert state["currentCommand"]["status"] == "running"
        state = await session.state()
    assert state["history"][0]["commandId"] == result["commandId"]
    assert state["history"][0]["exitCode"] == 0


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_that_reads_is_answered_by_input(console: Open, shell: str) -> None:
    session = await console(shell)
    result = await session.start("read answer; echo got $answer", options=AT_ONCE)
    assert result["status"] == "running"
    assert (await session.becomes("waiting_for_input"))["state"] == "waiting_for_input"
    await session.type("forty two")
    await session.sees("^got forty two$")
    assert (await session.ended(result["commandId"]))["exitCode"] == 0
    assert (await session.run("echo $answer"))["output"] == "forty two\n"


PASSWORD = {
    "bash": "read -r -s -p 'Password: ' word; echo; echo ${#word}",
    "sh": "stty -echo; printf 'Password: '; read -r word; stty echo; echo; echo ${#word}",
}


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_password_prompt_is_answered_and_the_password_not_shown(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    result = await session.start(PASSWORD[shell], options=AT_ONCE)
    await session.sees("^Password: $")
    await session.becomes("waiting_for_input")
    await session.type("correct horse")
    assert (await session.ended(result["commandId"]))["exitCode"] == 0
    assert "correct" not in await session.printed()
    assert (await session.run("echo $word"))["output"] == "correct horse\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_ctrl_c_interrupts_the_command_and_not_the_session(
    console: Open, shell: str, gate: Gate
) -> None:
    session = await console(shell)
    command = f"sh -c 'echo go; {gate.wait}'; echo survived > /dev/null"
    result = await session.start(command, options=AT_ONCE)
    await session.sees("^go$")
    await session.key("ctrl+c")
    assert (await session.ended(result["commandId"]))["exitCode"] == 130
    assert (await session.run("echo here"))["output"] == "here\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_that_was_interrupted_before_it_began_is_over_too(
    console: Open, shell: str, tmp_path: Path
) -> None:
    session = await console(shell)
    pid = (await session.idle())["session"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    result = await session.start(f"touch {tmp_path}/ran", options=AT_ONCE)
    await session.key("ctrl+c")
    os.kill(pid, signal.SIGCONT)
    ended = await session.ended(result["commandId"])
    assert (ended["status"], ended["exitCode"]) == ("unknown", None)
    assert (await session.run("echo here"))["output"] == "here\n"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_is_interrupted_when_its_time_is_up_if_that_was_asked(
    console: Open, shell: str, gate: Gate
) -> None:
    session = await console(shell)
    options = {"timeout": 200, "killOnTimeout": True}

    async def interrupted() -> bool:
        result = await session.start(f"sh -c 'echo go; {gate.wait}'", options=options)
        ended = await session.ended(result["commandId"])
        return "go" in result["output"] and bool(ended["exitCode"] == 130)

    await until(interrupted, "an interrupt of what has begun")
    assert (await session.run("echo here"))["output"] == "here\n"


async def test_a_command_that_ignores_the_interrupt_goes_on_and_is_said_to(
    console: Open, gate: Gate
) -> None:
    session = await console("bash")
    options = {"timeout": 100, "killOnTimeout": True}
    result = await session.start(f"trap '' INT; {gate.wait}; trap - INT", options=options)
    assert result["status"] == "running"
    gate.open()
    assert (await session.ended(result["commandId"]))["exitCode"] == 0


async def test_a_busy_session_takes_no_second_command_and_names_the_first(
    console: Open, gate: Gate, tmp_path: Path
) -> None:
    session = await console("bash")
    result = await session.start(gate.wait, options=AT_ONCE)
    for _ in range(2):
        arguments = {"sessionId": session.id, "command": f"touch {tmp_path}/second"}
        error = await refused(session.client, EXECUTE, **arguments)
        assert (error["code"], error["details"]["commandId"]) == ("CONFLICT", result["commandId"])
        assert result["commandId"] in error["error"] and "ctrl+c" in error["error"]
    gate.open()
    await session.ended(result["commandId"])
    await session.idle()
    commands = (await session.ok("console_get_command_history"))["commands"]
    assert [each["commandId"] for each in commands] == [result["commandId"]]
    assert not (tmp_path / "second").exists()


async def test_something_typed_by_hand_makes_a_session_busy_too(console: Open, gate: Gate) -> None:
    session = await console("bash")
    await session.type(gate.wait)
    await session.becomes("executing")
    error = await refused(session.client, EXECUTE, sessionId=session.id, command="true")
    assert error["code"] == "CONFLICT" and "by hand" in error["error"]
    gate.open()
    await session.idle()
    assert (await session.run("echo free"))["output"] == "free\n"


async def test_a_session_that_is_no_shell_says_what_to_use_instead(console: Open) -> None:
    session = await console("python3", ["-q"])
    error = await refused(session.client, EXECUTE, sessionId=session.id, command="1 + 1")
    assert (error["code"], error["details"]["sessionId"]) == ("CONFLICT", session.id)
    for tool in ("console_send_input", "console_wait_for_output"):
        assert tool in error["error"]
    assert "python3" in error["error"]


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_suspended_command_has_ended_for_now_and_can_be_taken_up(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    result = await session.start("sh -c 'echo go; read line; exit 5'", options=AT_ONCE)
    await session.sees("^go$")
    await session.key("ctrl+z")
    assert (await session.ended(result["commandId"]))["exitCode"] == 148
    await session.idle()
    again = await session.start("fg", options=AT_ONCE)
    await session.becomes("waiting_for_input")
    await session.type("go on")
    assert (await session.ended(again["commandId"]))["exitCode"] == 5


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_program_on_the_whole_screen_is_a_running_command(
    console: Open, shell: str, tmp_path: Path
) -> None:
    path = tmp_path / "text"
    session = await console(shell)
    result = await session.start(f"vim -u NONE -i NONE -n {path}", options=AT_ONCE)
    await session.shows('"')
    state = await session.ok("console_get_session_state")
    assert state["currentCommand"]["commandId"] == result["commandId"]
    await session.type("iwritten", enter=False)
    await session.shows("written")
    await session.key("escape")
    await session.type(":wq")
    assert (await session.ended(result["commandId"]))["exitCode"] == 0
    assert path.read_text() == "written\n"
    assert (await session.run("echo back"))["output"] == "back\n"


async def test_a_shell_within_the_shell_is_one_command_until_it_ends(console: Open) -> None:
    session = await console("bash")
    result = await session.start("sh", options=AT_ONCE)
    await session.becomes("waiting_for_input")
    await session.type("exit 7")
    assert (await session.ended(result["commandId"]))["exitCode"] == 7


async def test_a_stopped_session_settles_the_command_in_it(console: Open, gate: Gate) -> None:
    session = await console("bash")
    result = await session.start(gate.wait, options=AT_ONCE)
    await session.ok("console_stop_session")
    ended = await session.ended(result["commandId"])
    assert (ended["status"], ended["exitCode"]) == ("unknown", None)
    assert (await session.closed())["closing"] == "stopped"
