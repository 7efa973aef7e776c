"""Every error of the session tools: refused with its code and field, says why, and changes nothing.

Promise 27 for sessions: bad input of any kind gets a structured error.
"""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.integration.behaviour.conftest import Open
from tests.integration.clients import Client
from tests.integration.steps import ok, refused
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = "console_create_session"
EXECUTE = "console_execute_command"
TYPE = "console_send_input"
KEY = "console_send_key"
OUTPUT = "console_get_output"
WAIT = "console_wait_for_output"
SCREEN = "console_get_screen"
STATE = "console_get_session_state"
HISTORY = "console_get_command_history"
RESIZE = "console_resize_session"
STOP = "console_stop_session"
LIST = "console_list_sessions"
CLEAN = "console_cleanup_sessions"
S = {"sessionId": "session-no"}
BIG = "x" * ((1 << 20) + 1)

#: Every tool that takes a session, with arguments that are right.
OF_A_SESSION: dict[str, dict[str, Any]] = {
    EXECUTE: {"command": "true"},
    TYPE: {"input": "x"},
    KEY: {"key": "enter"},
    OUTPUT: {},
    WAIT: {"pattern": "x", "timeout": 1},
    SCREEN: {},
    STATE: {},
    HISTORY: {},
    RESIZE: {"cols": 80, "rows": 24},
    STOP: {},
}
NEED_A_LIVE_ONE = (EXECUTE, TYPE, KEY, RESIZE)

INVALID: list[tuple[str, dict[str, Any], str, str]] = [
    (CREATE, {"command": ""}, "command", "at least 1"),
    (CREATE, {"command": "  "}, "command", "blank"),
    (CREATE, {"command": "a\0b"}, "command", "NUL"),
    (CREATE, {"command": 7}, "command", "(it was 7)"),
    (CREATE, {"command": "sh", "args": "-i"}, "args", "list"),
    (CREATE, {"command": "sh", "args": ["a\0"]}, "args.0", "NUL"),
    (CREATE, {"args": ["-i"]}, "arguments", "args need a command"),
    (CREATE, {"comand": "sh"}, "comand", "Did you mean 'command'?"),
    (CREATE, {"options": {"colls": 80}}, "options.colls", "Did you mean 'cols'?"),
    (CREATE, {"cwd": "/"}, "cwd", "'cwd' belongs into options"),
    (CREATE, {"workingDirectory": "/"}, "workingDirectory", "'cwd' belongs into options"),
    (CREATE, {"options": {"workingDirectory": "/"}}, "options.workingDirectory", "mean 'cwd'?"),
    (CREATE, {"options": {"env": {}}}, "options.env", "mean 'environment'?"),
    (CREATE, {"options": {"cols": 1}}, "options.cols", "(it was 1)"),
    (CREATE, {"options": {"cols": 501}}, "options.cols", "(it was 501)"),
    (CREATE, {"options": {"cols": "80"}}, "options.cols", "(it was '80')"),
    (CREATE, {"options": {"rows": 1}}, "options.rows", "(it was 1)"),
    (CREATE, {"options": {"rows": 301}}, "options.rows", "(it was 301)"),
    (CREATE, {"options": {"rows": 24.5}}, "options.rows", "(it was 24.5)"),
    (CREATE, {"options": {"name": "n" * 201}}, "options.name", "200"),
    (CREATE, {"options": {"name": "two\nlines"}}, "options.name", "one line"),
    (CREATE, {"options": {"shell": "tcsh"}}, "options.shell", "bash"),
    (CREATE, {"options": {"environment": {"A=B": "c"}}}, "options.environment", "'A=B'"),
    (CREATE, {"options": {"environment": {"A": "b\0"}}}, "options.environment", "NUL"),
    (CREATE, {"options": {"cwd": "here"}}, "options.cwd", "absolute"),
    (CREATE, {"options": {"ssh": {}}}, "options.ssh.host", "missing"),
    (CREATE, {"options": {"ssh": {"host": "-oProxyCommand=x"}}}, "options.ssh.host", "host"),
    (CREATE, {"options": {"ssh": {"host": "h", "port": 0}}}, "options.ssh.port", "(it was 0)"),
    (CREATE, {"options": {"ssh": {"host": "h", "usr": "u"}}}, "options.ssh.usr", "'user'"),
    (EXECUTE, {**S, "command": "true", "options": {"timeout": -1}}, "options.timeout", "-1"),
    (TYPE, S, "input", "missing"),
    (TYPE, {"input": "x"}, "sessionId", "missing"),
    (TYPE, {**S, "input": None}, "input", "(it was None)"),
    (TYPE, {**S, "input": "a\0b"}, "input", "NUL"),
    (TYPE, {**S, "input": BIG}, "input", "1048576"),
    (TYPE, {**S, "input": "x", "enter": 1}, "enter", "(it was 1)"),
    (TYPE, {**S, "text": "x", "input": "x"}, "text", "Known"),
    (KEY, {**S, "key": 3}, "key", "(it was 3)"),
    (KEY, {**S, "key": "k" * 41}, "key", "40"),
    (KEY, {**S, "keys": "enter", "key": "tab"}, "keys", "Did you mean 'key'?"),
    (OUTPUT, {**S, "options": {"since": -1}}, "options.since", "(it was -1)"),
    (OUTPUT, {**S, "options": {"grep": "("}}, "options.grep", "RE2"),
    (OUTPUT, {**S, "options": {"maxBytes": 0}}, "options.maxBytes", "(it was 0)"),
    (OUTPUT, {**S, "options": {"waitMs": 1e308}}, "options.waitMs", "(it was 1e+308)"),
    (WAIT, S, "pattern", "missing"),
    (WAIT, {**S, "pattern": ""}, "pattern", "at least 1"),
    (WAIT, {**S, "pattern": "x" * 10_001}, "pattern", "10000"),
    (WAIT, {**S, "pattern": "x", "timeout": -1}, "timeout", "(it was -1)"),
    (WAIT, {**S, "pattern": "x", "timeout": "5"}, "timeout", "(it was '5')"),
    (WAIT, {**S, "pattern": "x", "since": -1}, "since", "(it was -1)"),
    (WAIT, {**S, "pattern": "x", "since": 1.5}, "since", "(it was 1.5)"),
    (WAIT, {**S, "patern": "x", "pattern": "x"}, "patern", "Did you mean 'pattern'?"),
    (SCREEN, {}, "sessionId", "missing"),
    (SCREEN, {"sessionId": ""}, "sessionId", "at least 1"),
    (SCREEN, {"sessionId": "s" * 101}, "sessionId", "100"),
    (SCREEN, {"sessionId": "a\0b"}, "sessionId", "NUL"),
    (SCREEN, {"session": "x", "sessionId": "x"}, "session", "Did you mean 'sessionId'?"),
    (STATE, {**S, "waitMs": -1}, "waitMs", "(it was -1)"),
    (HISTORY, {**S, "limit": 0}, "limit", "(it was 0)"),
    (RESIZE, {**S, "cols": 80}, "rows", "missing"),
    (RESIZE, {**S, "cols": 1, "rows": 24}, "cols", "(it was 1)"),
    (RESIZE, {**S, "cols": 501, "rows": 24}, "cols", "(it was 501)"),
    (RESIZE, {**S, "cols": 80, "rows": 1 << 40}, "rows", "(it was 1099511627776)"),
    (RESIZE, {**S, "cols": True, "rows": 24}, "cols", "(it was True)"),
    (STOP, {**S, "force": "yes"}, "force", "(it was 'yes')"),
    (LIST, {"limit": 1001}, "limit", "1000"),
    (LIST, {"status": "open"}, "status", "Known"),
    (CLEAN, {"options": {"olderThan": -1}}, "options.olderThan", "(it was -1)"),
    (CLEAN, {"options": {"inactiv": 1}}, "options.inactiv", "Did you mean 'inactive'?"),
    (CLEAN, {"olderThan": 0}, "olderThan", "belongs into options"),
]


async def sessions_on_record(client: Client) -> list[str]:
    """Return the ids of the sessions there are."""
    listed = await ok(client, LIST, limit=1000)
    return [each["sessionId"] for each in listed["sessions"]]


async def test_bad_arguments_are_refused_with_field_value_and_remedy(client: Client) -> None:
    before = await sessions_on_record(client)
    for tool, arguments, field, say in INVALID:
        error = await refused(client, tool, **arguments)
        where = (tool, arguments if len(str(arguments)) < 200 else "long", error)
        assert error["code"] == "INVALID_ARGUMENT", where
        assert error["details"].get("field", "") == field, where
        assert say in error["error"], where
        assert len(error["error"]) < 600, where
    assert await sessions_on_record(client) == before


async def test_an_unknown_session_is_the_same_answer_of_every_tool(client: Client) -> None:
    for unknown in ("session-no", "job-no", "../../etc/passwd", "session-01", "%s"):
        answers = set()
        for tool, arguments in OF_A_SESSION.items():
            error = await refused(client, tool, sessionId=unknown, **arguments)
            assert (error["code"], error["details"]["sessionId"]) == ("SESSION_NOT_FOUND", unknown)
            answers.add(error["error"])
        (said,) = answers
        assert "console_list_sessions" in said


@pytest.mark.parametrize(("end", "closing"), [("exit 3", "exited"), (None, "stopped")])
async def test_a_closed_session_says_how_it_ended_and_what_can_still_be_done(
    console: Open, end: str | None, closing: str
) -> None:
    session = await console("bash")
    if end:
        await session.type(end)
    else:
        await session.ok(STOP)
    await session.closed()
    for tool in NEED_A_LIVE_ONE:
        error = await refused(session.client, tool, sessionId=session.id, **OF_A_SESSION[tool])
        assert (error["code"], error["details"]["closing"]) == ("SESSION_CLOSED", closing)
        assert session.id in error["error"] and closing in error["error"]
        for remedy in (OUTPUT, CREATE):
            assert remedy in error["error"]
        if end:
            assert error["details"]["exitCode"] == 3 and "exit code 3" in error["error"]
    for tool in {*OF_A_SESSION} - {*NEED_A_LIVE_ONE, WAIT}:
        await session.ok(tool)


async def test_what_cannot_be_run_is_refused_before_a_session_exists(
    client: Client, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    before = await sessions_on_record(client)
    for arguments, code, named in (
        ({"command": "no-such-program"}, "COMMAND_NOT_FOUND", "no-such-program"),
        ({"command": "two words", "args": []}, "COMMAND_NOT_FOUND", "two words"),
        ({"command": str(plain)}, "PERMISSION_DENIED", str(plain)),
        ({"options": {"cwd": str(plain)}}, "WORKING_DIRECTORY_NOT_FOUND", str(plain)),
        ({"options": {"environment": {"SHELL": "/no/shell"}}}, "COMMAND_NOT_FOUND", "/no/shell"),
    ):
        error = await refused(client, CREATE, **arguments)  # type: ignore[arg-type]
        assert (error["code"], named in error["error"]) == (code, True), error
    assert await sessions_on_record(client) == before


async def test_what_only_exec_finds_out_closes_the_session_with_the_reason(
    client: Client, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    error = await refused(client, CREATE, command=str(program))
    assert (error["code"], error["details"]["closing"]) == ("SESSION_CLOSED", "spawn_error")
    assert "ENOENT" in error["error"]
    state = await ok(client, STATE, sessionId=error["details"]["sessionId"])
    assert (state["state"], state["session"]["closing"]) == ("closed", "spawn_error")
    assert "ENOENT" in state["session"]["error"]


async def test_a_key_that_is_none_is_refused_with_the_one_that_was_meant(console: Open) -> None:
    session = await console("sh")
    for key, say in {
        "control+c": "ctrl+c",
        "return": "enter",
        "f13": "f1",
        "hello": "Keys are named",
        "a": "console_send_input",
        "": "''",
        "ctrl+\u202e": "ctrl",
    }.items():
        error = await refused(session.client, KEY, sessionId=session.id, key=key)
        assert (error["code"], error["details"]["field"]) == ("INVALID_ARGUMENT", "key")
        assert say in error["error"], (key, error)
    assert (await session.run("echo untouched"))["output"] == "untouched\n"


async def test_what_makes_no_sense_in_a_session_is_refused_and_nothing_typed(
    console: Open, tmp_path: Path
) -> None:
    session = await console("bash")
    touch = f"touch {tmp_path}/ran"
    for options, field in (
        ({"stdin": "x"}, "options.stdin"),
        ({"shell": True}, "options.shell"),
        ({"shell": False}, "options.shell"),
        ({"workingDirectory": "here"}, "options.workingDirectory"),
        ({"environment": {f"x; {touch}; y": "1"}}, "options.environment"),
        ({"environment": {"1x": "1"}}, "options.environment"),
    ):
        arguments = {"sessionId": session.id, "command": touch, "options": options}
        error = await refused(session.client, EXECUTE, **arguments)
        assert (error["code"], error["details"]["field"]) == ("INVALID_ARGUMENT", field)
    arguments = {"sessionId": session.id, "command": touch + " " + "x" * 140_000}
    error = await refused(session.client, EXECUTE, **arguments)
    assert (error["code"], error["details"]["field"]) == ("INVALID_ARGUMENT", "command")
    assert (await session.ok(HISTORY))["commands"] == []
    assert not (tmp_path / "ran").exists()


async def test_a_megabyte_that_nobody_reads_is_taken_in_part_and_said_so(console: Open) -> None:
    session = await console("python3", ["-q", "-c", "import time\nwhile True: time.sleep(9)"])
    sent = "y" * (1 << 20)

    async def refuses_more() -> bool:
        return int((await session.type(sent, enter=False))["accepted"]) < len(sent)

    await until(refuses_more, "a full terminal")
    await session.ok(STOP, force=True)


async def test_more_than_the_terminal_takes_at_once_arrives_whole(
    console: Open, tmp_path: Path
) -> None:
    program = (
        "import hashlib, os, sys, tty; tty.setraw(0, 0); os.write(1, b'ready\\r\\n')\n"
        "digest, left = hashlib.sha256(), int(sys.argv[1])\n"
        "while left: piece = os.read(0, left); left -= len(piece); digest.update(piece)\n"
        "os.write(1, digest.hexdigest().encode() + b'\\r\\n')"
    )
    sent = "".join(f"{number:07}" for number in range(60_000))
    session = await console("python3", ["-c", program, str(len(sent))])
    await session.sees("^ready$", since=0)
    typed = await session.type(sent, enter=False)
    assert typed["accepted"] == len(sent)
    await session.sees(f"^{hashlib.sha256(sent.encode()).hexdigest()}$", since=typed["since"])
