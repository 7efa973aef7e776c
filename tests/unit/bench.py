"""A ConsoleManager for tests, with everything around it in memory."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_host import MemoryHost
from console_automation.config import Settings
from console_automation.core.job import OutputCounts, TerminalSize
from console_automation.core.output import Chunk, Page
from console_automation.core.session import (
    Session,
    SessionCommand,
    SessionSpec,
)
from console_automation.core.shells import ShellKind
from console_automation.engine.consoles import ConsoleManager
from console_automation.engine.observer import RunOwners
from console_automation.errors import (
    Unavailable,
)
from tests.builders import script
from tests.conftest import FixedClock
from tests.waiting import PATIENCE, until

PROMPT = b"\x1b]133;A;bash\x07$ "
SIZE, OTHER_SIZE = TerminalSize(cols=80, rows=24), TerminalSize(cols=100, rows=30)


class Printed:
    """An OutputLog of what the test says was printed; None stands for a chunk that is lost."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[bytes | None]] = {}

    def read(
        self, run_id: str, *, since: int, max_bytes: int, max_chunks: int, stream: str | None
    ) -> Page:
        found = [
            Chunk(number, 5.0 + number, "stdout", data)
            for number, data in enumerate(self.chunks.get(run_id, ()), 1)
            if number > since and data is not None
        ]
        return Page(chunks=tuple(found), next_since=found[-1].sequence if found else since)

    def read_end(self, run_id: str, *, max_bytes: int, stream: str | None) -> Page:
        whole = self.read(run_id, since=0, max_bytes=0, max_chunks=0, stream=None)
        return Page(chunks=whole.chunks[-1:], next_since=whole.next_since)


class Bench:
    """A ConsoleManager and everything around it."""

    def __init__(self, **knobs: Any) -> None:
        self.settings = Settings(**knobs)
        self.store = MemoryStore()
        self.host = MemoryHost()
        self.printed = Printed()
        self.manager: ConsoleManager
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        """Open a manager as a new daemon would: knowing what is stored."""
        self.manager = ConsoleManager(
            settings=self.settings,
            store=self.store.sessions,
            host=self.host,
            output=self.printed,
            clock=FixedClock(),
            new_id=lambda: f"session-{next(self._numbers):04}",
        )
        owners = RunOwners(self.manager)
        owners.add("session", self.manager)
        await self.store.open()
        await self.host.open(owners)
        await asyncio.wait_for(self.manager.open(), PATIENCE)

    async def opened(self, text: str = "sleep", **fields: Any) -> Session:
        """Open a session and return it once its program runs."""
        born = await self.manager.create(spec(text, **fields))
        return await self.manager.opened(born.id, timeout=PATIENCE)

    def print_more(self, *chunks: bytes | None, run_id: str = "session-0001.1") -> None:
        """Have a live run print, and those who wait for that know."""
        self.printed.chunks[run_id] += chunks
        last = len(self.printed.chunks[run_id])
        self.host.prints(run_id, OutputCounts(bytes=99, last_sequence=last))

    async def closed(self, each: Session) -> Session:
        """Return a session once its end is stored."""

        async def stored() -> Session | None:
            found = await self.store.sessions.get(each.id)
            return found if found and found.is_terminal else None

        over = await until(stored, f"the end of {each.id}")
        assert over is not None
        return over

    async def command(self, command_id: str) -> SessionCommand:
        """Return a command once its end is stored."""

        async def over() -> SessionCommand | None:
            found = await self.store.sessions.commands("session-0001", limit=9)
            ended = [c for c in found if c.id == command_id and c.ended_at is not None]
            return ended[0] if ended else None

        found = await until(over, f"the end of {command_id}")
        assert found is not None
        return found


def spec(text: str = "sleep", **fields: Any) -> SessionSpec:
    command = script(text, terminal=SIZE)
    return SessionSpec(command=command, created_at=1.0, client="test", **fields)


class NoObserver:
    """Whoever is told nothing, because the daemon is dead."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **news: None


def break_store(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str = "save") -> None:
    monkeypatch.setattr(
        bench.store.sessions, name, lambda *args: failing(Unavailable("disk on fire"))
    )


Make = Callable[..., Awaitable[Bench]]


async def in_shell(make: Make) -> tuple[Bench, Session]:
    """Return a session whose shell is at its prompt."""
    bench = await make()
    each = await bench.opened(shell=ShellKind.BASH)
    bench.printed.chunks[each.run_id] = [PROMPT]
    return bench, each
