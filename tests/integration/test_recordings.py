"""Recordings of sessions: the usual player shows what the terminal has received."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from console_automation.app import App, open_app
from console_automation.config import OnShutdown, Settings
from console_automation.errors import SessionNotFound, Unavailable
from tests.conftest import CALM
from tests.integration.servers import Server, environment, serving
from tests.waiting import PATIENCE, until, until_now

PICTURE = r"printf '\033[1;32mgrün \342\202'; printf '\254 日本\033[0m\n'"


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM, output_limit_bytes=1 << 20, on_shutdown=OnShutdown.STOP)


async def opened(app: App, command: str) -> str:
    """Open a session with a shell line in it and return its id once it is over."""
    program = {"command": "/usr/bin/env", "args": ["sh", "-c", command]}
    answer = await app.call("console_create_session", **program)
    session_id = str(answer.view["sessionId"])
    await until(lambda: _closed(app, session_id), "the end of the session")
    return session_id


async def _closed(app: App, session_id: str) -> bool:
    return (await app.engine.consoles.get(session_id)).is_terminal


async def received(app: App, session_id: str) -> bytes:
    """Return what the terminal has received, byte for byte."""
    data, since, more = b"", 0, True
    while more:
        options = {"since": since, "raw": True, "maxBytes": 1 << 20}
        page = (await app.call("console_get_output", sessionId=session_id, options=options)).view
        data += b"".join(base64.b64decode(each["content"]) for each in page["output"])
        since, more = page["nextSince"], page["hasMore"]
    return data


def played(path: Path) -> bytes:
    """Return what the player writes to a terminal."""
    command = [sys.executable, "-m", "asciinema", "cat", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE * 3)
    return done.stdout


async def recorded(app: App, session_id: str, path: Path) -> Path:
    path.write_text("".join([line async for line in app.recording(session_id)]), "ascii")
    return path


async def test_the_player_shows_what_the_terminal_has_received(app: App, tmp_path: Path) -> None:
    session_id = await opened(app, f"{PICTURE}; seq 60000; stty size; {PICTURE}")
    sent = await received(app, session_id)
    assert sent.count("grün € 日本".encode()) == 2 and len(sent) > 1 << 18  # more than a page
    assert played(await recorded(app, session_id, tmp_path / "cast")) == sent


async def test_of_what_was_dropped_a_marker_is_left(app: App, tmp_path: Path) -> None:
    session_id = await opened(app, "yes 0123456789 | head -c 3000000")
    path = await recorded(app, session_id, tmp_path / "cast")
    header, first, second, *_ = map(json.loads, path.read_text().splitlines())
    assert header["version"] == 2 and header["width"] == 120
    assert first[1] == "m" and "no longer kept" in first[2] and second[1] == "o"
    sent = await received(app, session_id)
    assert 500_000 < len(sent) < 1 << 20
    assert played(path) == sent


async def test_a_program_that_answers_a_new_size_is_recorded_at_that_size(app: App) -> None:
    answer = await app.call(
        "console_create_session",
        command="/usr/bin/env",
        args=["sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"],
    )
    session_id = answer.view["sessionId"]
    await app.call("console_wait_for_output", sessionId=session_id, pattern="ready", since=0)
    await app.call("console_resize_session", sessionId=session_id, cols=101, rows=31)
    await until(lambda: _closed(app, session_id), "the end of the session")
    events = [json.loads(line) async for line in app.recording(session_id)][1:]
    told = [(code, text) for _, code, text in events]
    assert told.index(("r", "101x31")) < next(i for i, e in enumerate(told) if "31 101" in e[1])


async def test_a_session_that_prints_all_the_time_has_a_recording_with_an_end(app: App) -> None:
    answer = await app.call("console_create_session", command="/usr/bin/yes")
    session_id = answer.view["sessionId"]
    lines = [line async for line in app.recording(session_id)]
    assert len(lines) > 1
    stopped = await app.call("console_stop_session", sessionId=session_id, force=True)
    assert stopped.view["status"] == "closed"


async def test_there_is_no_recording_of_a_session_nobody_knows(
    home: Path, settings: Settings
) -> None:
    async with open_app(home, settings) as app:
        with pytest.raises(SessionNotFound):
            await anext(app.recording("session-no"))
    with pytest.raises(Unavailable, match="closed"):
        await anext(app.recording("session-no"))


# -- the command line ------------------------------------------------------------------------------


def run(home: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "console_automation", *words]
    return subprocess.run(
        command, env=environment(home), capture_output=True, check=False, timeout=PATIENCE * 3
    )


def shown(server: Server) -> str:
    """Open a session that prints a lot and ends, and return its id."""
    created = server.call(
        "console_create_session", command="/usr/bin/env", args=["sh", "-c", f"{PICTURE}; seq 40000"]
    )
    session_id = str(created["sessionId"])
    state = "console_get_session_state"
    until_now(lambda: server.call(state, sessionId=session_id)["state"] == "closed", "its end")
    return session_id


def test_the_command_line_writes_a_recording_that_plays(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "cast"
    with serving(home, on_shutdown="stop") as server:
        session_id = shown(server)
        assert run(home, "record", session_id, str(path)).returncode == 0
        assert run(home, "record", session_id).stdout == path.read_bytes()
    shows = played(path).decode()
    assert shows.startswith("\x1b[1;32mgrün € 日本") and shows.endswith("40000\r\n")


def test_the_command_line_makes_no_file_for_a_session_nobody_knows(
    home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cast"
    with serving(home):
        done = run(home, "record", "session-no", str(path))
        assert done.returncode == 3 and not path.exists()
        assert b"session-no" in done.stderr and b"Traceback" not in done.stderr
        full = run(home, "record", "session-no", "/no/such/directory/cast")
        assert full.returncode == 3


def test_a_reader_who_leaves_in_the_middle_does_not_trouble_the_daemon(home: Path) -> None:
    with serving(home, on_shutdown="stop") as server:
        session_id = shown(server)
        line = [sys.executable, "-m", "console_automation", "record", session_id]
        with subprocess.Popen(
            line, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as reader:
            assert reader.stdout is not None and reader.stdout.readline()
            reader.stdout.close()
            assert reader.wait(PATIENCE) != 0
        until_now(lambda: server.ask("status")["connections"] == 1, "the connection to be gone")
        assert "Traceback" not in (home / "daemon.log").read_text()
