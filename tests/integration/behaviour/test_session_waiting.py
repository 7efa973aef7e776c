"""`console_wait_for_output`: what it finds, what it does not take for output, and how it ends."""

import asyncio
import sys

import pytest

from tests.integration.behaviour.conftest import Open
from tests.integration.conftest import Gate
from tests.integration.consoles import Console
from tests.integration.steps import ok, refused
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT = "console_wait_for_output"


async def test_chunks_are_joined_before_they_are_searched(console: Open) -> None:
    program = (
        "import os, sys, tty; tty.setraw(0)\n"
        "for piece in sys.argv[1:]:\n"
        "    os.write(1, piece.encode('latin-1')); os.read(0, 1)"
    )
    pieces = ["a BUI", "LD-\x1b[3", "1mOK \xe2", "\x82\xac!"]
    session = await console(sys.executable, ["-c", program, *pieces])
    waiting = asyncio.create_task(session.sees("BUILD-OK €!$", since=0))
    for count in range(1, len(pieces) + 1):
        await printed(session, count)
        assert not waiting.done() or count == len(pieces)
        await session.type("x", enter=False)
    found = await waiting
    assert (found["match"], found["before"]) == ("BUILD-OK €!", "a ")
    chunks = (await session.ok("console_get_output", options={"raw": True}))["output"]
    assert len(chunks) == 4


async def printed(session: Console, count: int) -> None:
    """Return once a session has printed in that many pieces."""

    async def enough() -> bool:
        state = await session.ok("console_get_session_state")
        return bool(state["session"]["output"]["chunks"] >= count)

    await until(enough, f"{count} pieces")


async def test_a_match_that_began_before_a_wait_was_over_is_found_by_the_next(
    console: Open,
) -> None:
    program = (
        "import os, tty; tty.setraw(0); os.write(1, b'BUI'); os.read(0, 1); os.write(1, b'LD')"
    )
    session = await console(sys.executable, ["-c", f"{program}; os.read(0, 1)"])
    await session.sees("BUI", since=0)
    arguments = {"sessionId": session.id, "pattern": "BUILD", "timeout": 1, "since": 0}
    error = await refused(session.client, WAIT, **arguments)
    assert error["code"] == "TIMEOUT"
    await session.type("x", enter=False)
    found = await session.sees("BUILD", since=error["details"]["nextSince"])
    assert found["match"] == "BUILD"


async def test_what_was_printed_just_before_is_found_with_since(console: Open) -> None:
    session = await console("bash")
    result = await session.run("echo needle")
    await session.run("echo other")
    earlier = await session.ended(result["commandId"])
    found = await session.sees("^needle$", since=earlier["since"])
    assert found["match"] == "needle"
    arguments = {"sessionId": session.id, "pattern": "^needle$", "timeout": 0}
    error = await refused(session.client, WAIT, **arguments, since=found["nextSince"])
    assert error["code"] == "TIMEOUT"


async def test_what_the_last_input_brought_about_is_found_without_since(console: Open) -> None:
    session = await console("bash")
    typed = await session.type("echo fo''und")
    await session.shows("\nfound")
    assert (await session.sees("^found$"))["match"] == "found"
    assert (await session.sees("^found$", since=typed["since"]))["match"] == "found"


@pytest.mark.parametrize("program", ["bash", "sh", "python3"])
async def test_the_echo_of_the_input_is_no_output(console: Open, program: str, gate: Gate) -> None:
    session = await console(program, ["-q"] if program == "python3" else None)
    if program == "python3":
        await session.sees("^>>> $", since=0)
        path = gate.wait.split()[4]
        line = f"import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)"
        await session.type(f"exec({line!r}); print('magic')")
    else:
        await session.type(f"{gate.wait}; echo magic")
    await session.shows("magic")
    arguments = {"sessionId": session.id, "pattern": "magic", "timeout": 100}
    assert (await refused(session.client, WAIT, **arguments))["code"] == "TIMEOUT"
    gate.open()
    assert (await session.sees("magic"))["match"] == "magic"


async def test_without_an_echo_nothing_that_is_printed_is_taken_for_one(console: Open) -> None:
    program = (
        "import os, tty; tty.setraw(0, 0); os.write(1, b'?'); os.read(0, 9)\n"
        "os.write(1, b'Copying files\\r\\n'); os.read(0, 9)"
    )
    session = await console(sys.executable, ["-c", program])
    await session.sees(r"\?", since=0)
    await session.type("y", enter=False)
    assert (await session.sees("Copying"))["match"] == "Copying"


async def test_groups_and_surroundings_come_with_the_match(console: Open) -> None:
    session = await console("bash")
    await session.run("echo before; echo port=8471 host=; echo after")
    found = await session.sees(r"port=(\d+) host=(\w+)?$")
    assert found["groups"] == ["8471", ""]
    assert found["before"].endswith("before\n") and found["after"].startswith("\nafter\n")
    loud = await session.sees("PORT=", since=0, ignoreCase=True)
    assert loud["match"] == "port=" and "groups" not in loud


@pytest.mark.parametrize(("end", "said"), [("exit 3", "exit code 3"), ("kill -9 $$", "SIGKILL")])
async def test_the_end_of_the_session_ends_the_wait_at_once(
    console: Open, gate: Gate, end: str, said: str
) -> None:
    session = await console("bash")
    await session.type(f"{gate.wait}; {end}")
    waits = [
        asyncio.create_task(
            session.client.call(WAIT, {"sessionId": session.id, "pattern": "never printed at all"})
        )
    ]
    gate.open()
    (answer,) = await asyncio.gather(*waits)
    while answer.structured["code"] == "TIMEOUT":  # a busy machine
        answer = await session.client.call(WAIT, {"sessionId": session.id, "pattern": "x{99}"})
    assert answer.structured["code"] == "SESSION_CLOSED"
    details = answer.structured["details"]
    assert (details["closing"], details["sessionId"]) == ("exited", session.id)
    assert said in answer.structured["error"]
    if end == "exit 3":
        assert details["exitCode"] == 3


async def test_what_a_session_printed_before_its_end_is_still_found(console: Open) -> None:
    session = await console("sh")
    await session.type("echo last''words; exit")
    await session.closed()
    assert (await session.sees("^lastwords$", since=0))["match"] == "lastwords"


async def test_a_wait_in_vain_says_what_was_printed_instead(console: Open) -> None:
    session = await console("bash")
    await session.run("echo something else")
    arguments = {"sessionId": session.id, "pattern": "needle", "timeout": 1}
    error = await refused(session.client, WAIT, **arguments, since=0)
    assert error["code"] == "TIMEOUT" and error["details"]["sessionId"] == session.id
    assert "something else" in error["error"] and "'needle'" in error["error"]
    error = await refused(session.client, WAIT, **arguments, since=1 << 40)
    assert "printed nothing" in error["error"]


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a**", "[z-a]", r"\pL{10}x"])
async def test_a_pattern_that_is_none_is_refused_with_its_field(
    console: Open, pattern: str
) -> None:
    session = await console("sh")
    error = await refused(session.client, WAIT, sessionId=session.id, pattern=pattern)
    assert (error["code"], error["details"]["field"]) == ("INVALID_ARGUMENT", "pattern")


async def test_patterns_that_blow_up_elsewhere_are_answered(console: Open) -> None:
    session = await console("bash")
    result = await session.run("head -c 1000000 /dev/zero | tr '\\0' a; echo '!'")
    for pattern in ("^(a+)+$", "(a|aa)+$", "(.*a){12}$", "(a*)*b", "^(.*?,){11}P"):
        async with asyncio.timeout(PATIENCE):
            arguments = {"sessionId": session.id, "pattern": pattern, "timeout": 1, "since": 0}
            answer = await session.client.call(WAIT, arguments)
        assert not answer.is_error or answer.structured["code"] == "TIMEOUT"
    found = await session.sees("a!$", since=(await session.ended(result["commandId"]))["since"])
    assert found["match"] == "a!" and set(found["before"]) == {"a"}


async def test_a_wait_disturbs_nobody_else(console: Open) -> None:
    session = await console("bash")
    arguments = {"sessionId": session.id, "pattern": "^never$", "since": 0}
    waits = [asyncio.create_task(session.client.call(WAIT, arguments)) for _ in range(3)]
    assert (await session.run("echo meanwhile"))["output"] == "meanwhile\n"
    await ok(session.client, "console_list_sessions")
    for answer in await asyncio.gather(*waits):
        assert answer.structured["code"] == "TIMEOUT"


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_the_line_of_an_executed_command_is_no_output(
    console: Open, shell: str, gate: Gate
) -> None:
    session = await console(shell)
    result = await session.start(f"{gate.wait}; echo magic", options={"timeout": 0})
    await session.becomes("executing")
    arguments = {"sessionId": session.id, "pattern": "magic", "timeout": 100}
    assert (await refused(session.client, WAIT, **arguments))["code"] == "TIMEOUT"
    gate.open()
    assert (await session.sees("magic"))["match"] == "magic"
    await session.ended(result["commandId"])
