"""The contract of the SessionStore port, kept alike by SQLite and by the memory store."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import Cause, OutputCounts, TerminalSize, Usage
from console_automation.core.session import (
    Closing,
    CommandStatus,
    Session,
    SessionCommand,
    SessionPhase,
    SessionSpec,
    Sizing,
)
from console_automation.core.shells import ShellKind
from console_automation.errors import Unavailable
from console_automation.ports.stores import SessionStore, Store
from tests.builders import command, exit_of, job
from tests.waiting import PATIENCE

SIZE = TerminalSize(cols=80, rows=24)


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def sessions(store: Store) -> SessionStore:
    return store.sessions


def session(number: int = 1, phase: SessionPhase = SessionPhase.OPEN, **fields: Any) -> Session:
    spec = SessionSpec(command=command(terminal=SIZE), created_at=float(number), client="test")
    return Session(
        **{
            "id": f"session-{number:04}",
            "spec": spec,
            "phase": phase,
            "boot_id": "this-boot",
            "sizes": (Sizing(at=float(number), size=SIZE),),
            **fields,
        }
    )


def closed(number: int = 1, *, at: float = 9.0, **fields: Any) -> Session:
    fields = {"closing": Closing.EXITED, "exit": exit_of(0), **fields}
    return session(number, SessionPhase.CLOSED, closed_at=at, **fields)


def typed(number: int = 1, session_number: int = 1, **fields: Any) -> SessionCommand:
    return SessionCommand(
        **{
            "id": f"{number:016x}",
            "session_id": f"session-{session_number:04}",
            "line": f"make {number}",
            "typed_at": float(number),
            "since": number,
            **fields,
        }
    )


def ids(found: list[Session]) -> list[str]:
    return [each.id for each in found]


RICH = dataclasses.replace(
    session(),
    spec=SessionSpec(
        command=command(
            "/bin/bash",
            "-i",
            "häß ☃ \udcff",
            environment={"PATH": "/bin", "ODD": "a=b\n\udc80"},
            terminal=TerminalSize(cols=500, rows=300),
            timeout=None,
            idle_timeout=0.5,
        ),
        created_at=1e9 + 0.25,
        client="pid 4711",
        name="näme'; --",
        shell=ShellKind.BASH,
        host="user@host",
    ),
    phase=SessionPhase.CLOSING,
    sizes=(Sizing(at=1.5, size=SIZE), Sizing(at=2.5, size=TerminalSize(cols=2, rows=2))),
    pid=4711,
    opened_at=1e9 + 0.5,
    output=OutputCounts(bytes=1 << 40, dropped_bytes=7, last_sequence=1 << 33),
)
RICH_END = dataclasses.replace(
    RICH,
    phase=SessionPhase.CLOSED,
    closed_at=1e9 + 0.75,
    closing=Closing.DISCONNECTED,
    error="said ☃",
    exit=exit_of(
        None, signal=9, cause=Cause.CANCEL, usage=Usage(cpu_seconds=0.5, max_rss_bytes=1 << 30)
    ),
)


@pytest.mark.parametrize("each", [session(), session(phase=SessionPhase.OPENING), RICH, RICH_END])
async def test_a_session_comes_back_as_it_was_saved(sessions: SessionStore, each: Session) -> None:
    await sessions.save(each)
    assert await sessions.get(each.id) == each


async def test_a_session_nobody_saved_is_not_there(sessions: SessionStore) -> None:
    assert await sessions.get("session-0") is None
    assert await sessions.commands("session-0", limit=9) == []
    assert (await sessions.live(), await sessions.latest(limit=9)) == ([], [])


async def test_saving_again_replaces_the_state(sessions: SessionStore) -> None:
    await sessions.save(session(phase=SessionPhase.OPENING))
    await sessions.save(RICH)
    known = await sessions.get(RICH.id)
    assert known and (known.phase, known.sizes, known.pid) == (RICH.phase, RICH.sizes, RICH.pid)
    assert ids(await sessions.latest(limit=9)) == [RICH.id]


async def test_a_closed_session_is_final_whatever_is_saved_after_it(sessions: SessionStore) -> None:
    await sessions.save(RICH_END)
    for later in (RICH, session(phase=SessionPhase.OPENING), closed(closing=Closing.LOST)):
        await sessions.save(later)
        assert await sessions.get(RICH_END.id) == RICH_END


async def test_writes_take_their_place_at_the_call_and_not_when_they_are_awaited(
    sessions: SessionStore,
) -> None:
    first, second = sessions.save(session()), sessions.save(closed())
    await second
    await first
    assert await sessions.get("session-0001") == closed()


async def test_live_sessions_are_listed_oldest_first_and_all_of_them_newest_first(
    sessions: SessionStore,
) -> None:
    phases = (SessionPhase.OPEN, SessionPhase.CLOSING, SessionPhase.OPENING)
    for number, phase in enumerate(phases, 1):
        await sessions.save(session(number, phase))
    await sessions.save(closed(4))
    assert ids(await sessions.live()) == ["session-0001", "session-0002", "session-0003"]
    assert ids(await sessions.latest(limit=2)) == ["session-0004", "session-0003"]
    assert len(await sessions.latest(limit=99)) == 4


async def test_closed_sessions_are_found_by_the_time_of_their_end_oldest_first(
    sessions: SessionStore,
) -> None:
    for number, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        await sessions.save(closed(number, at=at))
    await sessions.save(session(4))
    assert ids(await sessions.closed(before=30.0, limit=9)) == ["session-0002", "session-0003"]
    assert ids(await sessions.closed(before=31.0, limit=1)) == ["session-0002"]
    assert len(await sessions.closed(before=31.0, limit=9)) == 3


async def test_a_closed_session_is_forgotten_with_what_was_typed_into_it(
    sessions: SessionStore,
) -> None:
    await sessions.save(closed(1))
    await sessions.save(closed(2))
    await sessions.save_command(typed(1, 1))
    await sessions.save_command(typed(2, 2))
    await sessions.delete("session-0001")
    await sessions.delete("session-0001")
    await sessions.delete("session-0")
    assert ids(await sessions.latest(limit=9)) == ["session-0002"]
    assert await sessions.commands("session-0001", limit=9) == []
    assert await sessions.commands("session-0002", limit=9) == [typed(2, 2)]
    assert await sessions.running_commands() == [typed(2, 2)]


@pytest.mark.parametrize("phase", [p for p in SessionPhase if p is not SessionPhase.CLOSED])
async def test_a_session_that_is_not_closed_is_not_forgotten(
    sessions: SessionStore, phase: SessionPhase
) -> None:
    await sessions.save(session(1, phase))
    await sessions.save_command(typed())
    await sessions.delete("session-0001")
    assert ids(await sessions.live()) == ["session-0001"]
    assert await sessions.commands("session-0001", limit=9) == [typed()]


async def test_a_command_comes_back_as_it_was_saved_and_saving_again_replaces_it(
    sessions: SessionStore,
) -> None:
    begun = typed(line="echo 'häß ☃'\n\tand more; --", typed_at=1e9 + 0.125, began_at=1e9 + 0.25)
    await sessions.save_command(begun)
    assert await sessions.commands("session-0001", limit=9) == [begun]
    over = begun.ended(at=1e9 + 0.5, exit_code=255, until=1 << 33)
    await sessions.save_command(over)
    assert await sessions.commands("session-0001", limit=9) == [over]
    assert over.status is CommandStatus.FAILED


async def test_commands_are_listed_by_session_newest_first(sessions: SessionStore) -> None:
    for number in (2, 3, 1):
        await sessions.save_command(typed(number))
    await sessions.save_command(typed(4, 2))
    found = await sessions.commands("session-0001", limit=2)
    assert [each.line for each in found] == ["make 3", "make 2"]


async def test_commands_whose_end_was_not_seen_are_listed_oldest_first(
    sessions: SessionStore,
) -> None:
    for number in (3, 2, 1, 4):
        await sessions.save_command(typed(number, number % 2))
    for number, code in ((1, 0), (3, None)):
        await sessions.save_command(
            typed(number, number % 2).ended(at=9.0, exit_code=code, until=9)
        )
    found = await sessions.running_commands()
    assert [each.line for each in found] == ["make 2", "make 4"]


async def test_many_writes_at_once_are_all_there(sessions: SessionStore) -> None:
    writes = [sessions.save(session(number)) for number in range(300)]
    writes += [sessions.save_command(typed(number, number)) for number in range(300)]
    await asyncio.wait_for(asyncio.gather(*writes), PATIENCE)
    assert len(await sessions.live()) == len(await sessions.running_commands()) == 300


async def test_sessions_and_jobs_know_nothing_of_each_other(store: Store) -> None:
    await store.insert(job("session-0001"), [])
    await store.sessions.save(closed())
    await store.sessions.delete("session-0001")
    assert await store.get("session-0001") == job("session-0001")


async def test_a_closed_store_takes_no_session(store: Store) -> None:
    await store.sessions.save(session())
    await store.close()
    for write in (store.sessions.save(closed()), store.sessions.save_command(typed())):
        with pytest.raises(Unavailable):
            await asyncio.wait_for(write, PATIENCE)


async def test_sessions_and_commands_are_there_when_the_store_is_opened_again(home: Path) -> None:
    first = SqliteStore(home)
    await first.open()
    await first.sessions.save(RICH)
    await first.sessions.save_command(typed())
    await first.close()
    second = SqliteStore(home)
    await second.open()
    assert await second.sessions.live() == [RICH]
    assert await second.sessions.running_commands() == [typed()]
    await second.close()
