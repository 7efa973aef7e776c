"""Console sessions: opened, driven, looked at, resized, listed, stopped and forgotten."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.behaviour.conftest import Checked, Open
from tests.integration.clients import Connected, over_http, over_stdio
from tests.integration.consoles import Console, opened
from tests.integration.servers import Server
from tests.integration.steps import ok, refused, text_of
from tests.processes import bearing, is_alive, new_mark
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_session_is_opened_with_all_that_was_asked_for(
    console: Open, tmp_path: Path
) -> None:
    session = await console(
        "sh", name="my shell", cwd=str(tmp_path), environment={"SAID": "yes"}, cols=91, rows=17
    )
    seen = await session.run('pwd; echo "$SAID $TERM"; stty size; tty; echo ${COLUMNS-} ${LINES-}')
    place, said, size, tty, foreign = seen["output"].splitlines()
    assert (place, said, size) == (str(tmp_path), "yes xterm-256color", "17 91")
    assert tty.startswith("/dev/") and foreign.strip() in ("", "91 17")
    state = await session.idle()
    view = state["session"]
    assert (view["name"], view["shell"], view["command"]) == ("my shell", "sh", "sh")
    assert (view["cols"], view["rows"], view["status"]) == (91, 17, "open")
    assert state["workingDirectory"] == str(tmp_path)
    assert is_alive(view["pid"])


async def test_the_answer_to_opening_holds_the_prompt(console: Open, tmp_path: Path) -> None:
    session = await console("bash")
    arguments = {"environment": {"HOME": str(tmp_path), "PS1": "at your service> "}}
    created = await ok(session.client, "console_create_session", command="sh", options=arguments)
    other = Console(session.client, created["sessionId"])
    if created["ready"]:  # a busy machine takes longer than a call
        assert created["output"].endswith("at your service> ")
    assert (await other.idle())["session"]["pid"] > 0
    await other.ok("console_stop_session", force=True)


async def test_the_programs_arguments_are_literal(console: Open) -> None:
    shown = "import sys; print(sys.argv[1:]); input()"
    session = await console(sys.executable, ["-c", shown, "a b", "$HOME", "'"])
    await session.sees(r"^\['a b', '\$HOME', \"'\"\]$", since=0)


async def test_a_shell_line_is_a_session_without_marks(console: Open) -> None:
    session = await console("echo one; read line; echo two")
    await session.sees("^one$", since=0)
    await session.type("")
    await session.sees("^two$", since=0)
    assert (await session.closed())["exitCode"] == 0


async def test_text_is_typed_and_keys_are_pressed(console: Open) -> None:
    session = await console("bash")
    typed = await session.type("echo one tw", enter=False)
    assert typed["accepted"] == len("echo one tw")
    await session.shows("echo one tw")
    for key in ("backspace", "backspace", "ctrl+a", "alt+f", "right"):
        await session.key(key)
    await session.type("y", enter=False)
    await session.key("enter")
    await session.sees("^yone$")


async def test_several_lines_are_pasted_and_run_one_after_the_other(console: Open) -> None:
    session = await console("bash")
    await session.type("echo fir''st\necho sec''ond\nfor x in 1 2; do\n\techo thi''rd$x\ndone")
    await session.shows("third2")
    assert "first\n" in (shown := await session.screen()) and "second\n" in shown
    session = await console("python3", ["-q"])
    await session.sees("^>>> $", since=0)
    await session.type("x = [6,\n7]\nx[0] * x[1]")
    await session.sees("^42$")


async def test_output_is_read_in_pages_by_cursor(console: Open) -> None:
    session = await console("bash")
    result = await session.run("for n in 1 2 3 4 5 6; do echo line $n; sleep 0.01; done")
    cursor, read, sequence = 0, "", []
    more = True
    while more:
        page = await session.ok("console_get_output", options={"since": cursor, "limit": 1})
        assert len(page["output"]) == 1 and page["nextSince"] > cursor
        sequence += [chunk["sequenceNumber"] for chunk in page["output"]]
        read += text_of(page)
        cursor, more = page["nextSince"], page["hasMore"]
    assert sequence == list(range(1, cursor + 1))
    assert read == await session.printed(maxBytes=1 << 20)
    assert "".join(f"line {n}\n" for n in range(1, 7)) in read
    command = await session.ended(result["commandId"])
    newest = await session.ok("console_get_output", options={"since": command["since"]})
    assert "line 6\n" in text_of(newest) and newest["firstAvailableSequence"] == 1
    grep = await session.ok("console_get_output", options={"grep": "^line [35]$"})
    assert text_of(grep).split("\n")[:2] == ["line 3", "line 5"]
    tail = await session.ok("console_get_output", options={"tail": 2})
    assert text_of(tail).startswith("line 6\n")


async def test_a_read_waits_for_new_output(console: Open) -> None:
    session = await console("sh")
    cursor = (await session.ok("console_get_output"))["nextSince"]
    empty = await session.ok("console_get_output", options={"since": cursor, "waitMs": 50})
    assert empty["output"] == [] and empty["nextSince"] == cursor
    await session.type("echo new''s")

    async def came() -> bool:
        options = {"since": cursor, "waitMs": 1000}
        return "news\n" in text_of(await session.ok("console_get_output", options=options))

    await until(came, "the news")


async def test_the_screen_is_what_a_person_would_see(console: Open) -> None:
    session = await console("bash", cols=40, rows=10)
    await session.run("PS1='$ '")
    await session.run("printf '\\033]0;my title\\007'; clear; printf 'first\\nsec\\bond\\rS\\n'")
    await session.shows("\n$")
    screen = await session.ok("console_get_screen")
    assert screen["screen"].splitlines()[:2] == ["first", "Seond"]
    assert screen["title"] == "my title" and not screen["alternateScreen"]
    assert (screen["cols"], screen["rows"]) == (40, 10)
    assert screen["cursor"] == {"row": 2, "column": 2, "visible": True}


async def test_vim_is_driven_by_keys_and_seen_on_the_screen(console: Open, tmp_path: Path) -> None:
    path = tmp_path / "poem"
    session = await console("vim", ["-u", "NONE", "-i", "NONE", "-n", str(path)], rows=12)
    await session.shows("\n~\n")
    await session.type("iRoses are red", enter=False)
    await session.key("enter")
    await session.type("Violets are ", enter=False)
    await session.shows("Violets")
    await session.key("escape")
    screen = await session.ok("console_get_screen")
    assert screen["alternateScreen"]
    assert screen["screen"].splitlines()[:2] == ["Roses are red", "Violets are"]
    await session.key("up")
    await session.type("Ahot", enter=False)
    await session.shows("redhot")
    await session.key("escape")
    await session.type(":wq")
    closed = await session.closed()
    assert (closed["closing"], closed["exitCode"]) == ("exited", 0)
    assert path.read_text() == "Roses are redhot\nViolets are \n"


async def test_a_program_is_told_of_its_new_size(console: Open) -> None:
    session = await console("bash", cols=80, rows=24)
    for cols, rows in ((132, 50), (2, 2), (500, 300), (40, 8)):
        size = await session.ok("console_resize_session", cols=cols, rows=rows)
        assert (size["cols"], size["rows"]) == (cols, rows)
        screen = await session.ok("console_get_screen")
        assert (screen["cols"], screen["rows"]) == (cols, rows)
    assert (await session.run("stty size"))["output"] == "8 40\n"
    assert (await session.run("echo $COLUMNS"))["output"] == "40\n"


async def test_sessions_are_listed_newest_first(console: Open) -> None:
    first, second = await console("sh", name="first"), await console("sh", name="second")
    listed = await ok(first.client, "console_list_sessions")
    ids = [each["sessionId"] for each in listed["sessions"]]
    assert ids.index(second.id) < ids.index(first.id)
    assert listed["open"] >= 2 and listed["maximum"] == 100
    newest = await ok(first.client, "console_list_sessions", limit=1)
    assert [each["name"] for each in newest["sessions"]] == ["second"]
    await first.ok("console_stop_session")
    open_ones = await ok(first.client, "console_list_sessions", closed=False)
    ids = [each["sessionId"] for each in open_ones["sessions"]]
    assert second.id in ids and first.id not in ids
    every = await ok(first.client, "console_list_sessions")
    (gone,) = [each for each in every["sessions"] if each["sessionId"] == first.id]
    assert (gone["status"], gone["closing"]) == ("closed", "stopped")


async def test_the_history_is_newest_first_and_limited(console: Open) -> None:
    session = await console("sh")
    for number in range(4):
        await session.run(f"echo {number}")
    history = await session.ok("console_get_command_history")
    assert [each["command"] for each in history["commands"]][:4] == [
        f"echo {number}" for number in (3, 2, 1, 0)
    ]
    assert len((await session.ok("console_get_command_history", limit=2))["commands"]) == 2


@pytest.mark.parametrize("force", [False, True])
async def test_a_stopped_session_leaves_no_process(console: Open, force: bool) -> None:
    mark = new_mark()
    session = await console("bash")
    stubborn = f"(trap '' HUP TERM INT; exec sleep {mark}) &"
    await session.run(f"sleep {mark} & (setsid sleep {mark} &) ; trap '' HUP; {stubborn}")
    await until(lambda: len(bearing(mark)) >= 3, "what runs in the background")
    stopped = await session.ok("console_stop_session", force=force)
    assert stopped["stopped"] is True
    closed = await session.closed()
    assert closed["closing"] == "stopped" and not is_alive(closed["pid"])
    assert bearing(mark) == []


async def test_stopping_twice_changes_nothing(console: Open) -> None:
    session = await console("sh")
    await session.ok("console_stop_session")
    before = await session.closed()
    again = await session.ok("console_stop_session")
    assert again["stopped"] is False and "already" in again["message"]
    assert await session.closed() == before


async def test_the_output_of_a_closed_session_stays_readable(console: Open) -> None:
    session = await console("bash")
    await session.run("echo last words")
    await session.ok("console_stop_session")
    await session.closed()
    assert "last words\n" in await session.printed()
    assert "last words" in await session.screen()
    page = await session.ok("console_get_output", options={"waitMs": 1000})
    assert page["status"] == "closed" and not page["hasMore"]
    assert (await session.ok("console_get_command_history"))["commands"]


async def test_cleaning_up_forgets_closed_sessions_alone(console: Open) -> None:
    closed, live = await console("sh"), await console("sh")
    await closed.ok("console_stop_session")
    kept = await ok(closed.client, "console_cleanup_sessions", options={"olderThan": 3_600_000})
    assert closed.id not in kept["removed"]
    gone = await ok(closed.client, "console_cleanup_sessions")
    assert closed.id in gone["removed"] and live.id not in gone["removed"]
    assert gone["stopped"] == []
    error = await refused(closed.client, "console_get_output", sessionId=closed.id)
    assert error["code"] == "SESSION_NOT_FOUND"
    assert (await live.run("echo here"))["output"] == "here\n"


async def test_cleaning_up_closes_sessions_that_nobody_uses_when_asked(console: Open) -> None:
    session = await console("sh")
    kept = await ok(session.client, "console_cleanup_sessions", options={"inactive": 3_600_000})
    assert session.id not in kept["stopped"]
    gone = await ok(session.client, "console_cleanup_sessions", options={"inactive": 0})
    assert session.id in gone["stopped"]


@pytest.mark.parametrize("first", [over_stdio, over_http])
async def test_one_client_goes_on_where_another_has_left(
    server: Server, tmp_path: Path, first: Any
) -> None:
    second = over_http if first is over_stdio else over_stdio
    async with first(server) as connected:
        session = await opened(Checked(Connected(connected)), tmp_path, "bash")
        await session.run(f"cd {tmp_path}; word=kept")
        begun = await session.start("read line; echo $line $word", options={"timeout": 0})
    async with second(server) as connected:
        session = Console(Checked(Connected(connected)), session.id)
        state = await session.becomes("waiting_for_input")
        assert state["currentCommand"]["commandId"] == begun["commandId"]
        assert state["workingDirectory"] == str(tmp_path)
        await session.type("and")
        await session.sees("^and kept$")
        assert (await session.ended(begun["commandId"]))["exitCode"] == 0
        assert (await session.run("echo $word"))["output"] == "kept\n"
        await session.ok("console_stop_session")
