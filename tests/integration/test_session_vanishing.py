"""Promise 26 for sessions: a client may vanish at any byte while it drives one. The session goes on,
and nothing stays of the client, nor of sessions that were stopped.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.driven import Driven, open_session
from tests.integration.raw import CLIENT, LEGACY, RawBridge, bridge
from tests.integration.servers import Server, serving
from tests.integration.vanishing import Crowd, held, is_alone, resident, tool_call
from tests.processes import is_alive
from tests.waiting import until_now

ROUNDS = 120
SESSIONS = 50


@pytest.fixture(scope="module")
def server(module_home: Path) -> Iterator[Server]:
    """A daemon that nobody else is connected to, so that its figures mean something."""
    with serving(module_home) as running:
        yield running


@pytest.fixture
def crowd(server: Server) -> Crowd:
    return Crowd(server, ROUNDS, growth=4_000_000)


@pytest.fixture
def session(server: Server) -> Iterator[Driven]:
    """A session that is driven all the while, and has to work afterwards as it did before."""
    session = open_session(server, server.home)
    pid = session.state()["session"]["pid"]
    assert session.run("x=kept")["exitCode"] == 0
    yield session
    if session.state()["state"] != "idle":
        session.press("ctrl+c")
    session.until("idle")
    assert session.state()["session"]["pid"] == pid and is_alive(pid)
    assert session.run("echo $x")["output"].split()[-1:] == ["kept"]
    assert session.stop()["closing"] == "stopped"


def conversation(session_id: str) -> bytes:
    """Return all that a client of the older era says while it drives a session."""
    wait = {"sessionId": session_id, "pattern": "never printed", "timeout": 45_000}
    execute = {"sessionId": session_id, "command": "sleep 0.01; echo done"}
    page = {"sessionId": session_id, "options": {"since": 1 << 40, "waitMs": 45_000}}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {**LEGACY, "clientInfo": CLIENT}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        tool_call(3, "console_wait_for_output", wait),
        tool_call(4, "console_execute_command", execute),
        tool_call(5, "console_get_screen", {"sessionId": session_id}),
        tool_call(6, "console_send_input", {"sessionId": session_id, "input": "# häß"}),
        tool_call(7, "console_get_output", page),
        tool_call(8, "console_resize_session", {"sessionId": session_id, "cols": 90, "rows": 30}),
    ]
    lines = (json.dumps({"jsonrpc": "2.0", **each}, ensure_ascii=False) for each in messages)
    return "".join(f"{line}\n" for line in lines).encode()


def test_the_socket_cut_at_any_byte_while_a_session_is_driven(
    crowd: Crowd, session: Driven
) -> None:
    crowd.leaves_nothing_on_the_socket(conversation(session.id))


def test_stdio_closed_in_the_middle_of_a_line_while_a_session_is_driven(
    server: Server, crowd: Crowd, session: Driven
) -> None:
    said = conversation(session.id)

    def vanish(number: int) -> None:
        with bridge(server.home, legacy=False) as wire:
            wire.send(crowd.cut(said, number))

    crowd.leaves_nothing(vanish, step=29)


def test_a_bridge_killed_while_it_waits_for_a_session(
    server: Server, crowd: Crowd, session: Driven
) -> None:
    def vanish(number: int) -> None:
        wire = RawBridge(server.home)
        wire.send(conversation(session.id))
        wire.answer(2)
        wire.kill()

    crowd.leaves_nothing(vanish, step=29)


def test_a_command_typed_by_a_client_that_vanished_has_its_true_end(
    server: Server, session: Driven
) -> None:
    wire = RawBridge(server.home)
    wire.shake_hands()
    call = {"sessionId": session.id, "command": "sleep 0.3; (exit 9)"}
    wire.say({"jsonrpc": "2.0", **tool_call(5, "console_execute_command", call)})
    until_now(lambda: len(session.commands()) == 2, "the command")
    wire.kill()
    typed = next(iter(session.commands()))
    assert session.over(typed)["exitCode"] == 9


def test_a_session_opened_by_a_client_that_vanished_is_there_and_can_be_stopped(
    server: Server,
) -> None:
    wire = RawBridge(server.home)
    wire.shake_hands()
    call = {"command": "cat", "args": [], "options": {"name": "orphan"}}
    wire.say({"jsonrpc": "2.0", **tool_call(5, "console_create_session", call)})

    def named() -> list[dict[str, Any]]:
        found = server.call("console_list_sessions", closed=False)["sessions"]
        return [each for each in found if each.get("name") == "orphan"]

    until_now(named, "the session")
    wire.kill()
    [orphan] = named()
    driven = Driven(server, orphan["sessionId"])
    until_now(lambda: "pid" in driven.state()["session"], "its program")
    driven.type("still here", enter=True)
    driven.shows("still here")
    assert driven.stop(force=True)["status"] == "closed"


def test_after_many_sessions_the_daemon_is_as_it_was(server: Server) -> None:
    def live_through(count: int) -> None:
        sessions = [open_session(server, server.home) for _ in range(count)]
        for session in sessions:
            session.run("seq 1000")
            session.screen()
        pids = [session.state()["session"]["pid"] for session in sessions]
        for session in sessions:
            assert session.stop()["status"] == "closed"
        assert not any(map(is_alive, pids))
        server.call("console_cleanup_sessions", options={"olderThan": 0})

    live_through(10)
    until_now(lambda: is_alone(server))
    before, memory = held(server), resident(server)
    for _ in range(5):
        live_through(SESSIONS // 5)
    until_now(lambda: held(server) <= before + 2)
    assert resident(server) - memory < 10_000_000  # 200 kB a session
    assert not list((server.home / "runs").glob("session-*"))
    launcher_and_idle = [
        each for each in psutil.process_iter(["cmdline"]) if _is_shim(each, server)
    ]
    assert len(launcher_and_idle) <= 1 + 16 + 2  # the launcher, and the idle ones that are kept


def _is_shim(process: psutil.Process, server: Server) -> bool:
    return any(str(server.home) in word for word in process.info["cmdline"] or ())
