"""Fixtures for all tests: a short-lived state directory, an engine on it, and bounded waiting."""

import asyncio
import itertools
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.memory_host import MemoryHost
from console_automation.config import Settings
from console_automation.engine.admission import Admission
from console_automation.engine.jobs import JobManager
from tests.waiting import PATIENCE

if sys.platform != "win32":  # there only what needs no POSIX is tested
    from console_automation.app import App, open_app

#: where a path is short enough for a socket
SHORT = None if sys.platform == "win32" else "/tmp"
CALM: dict[str, Any] = {"max_load_per_cpu": 0, "max_memory_percent": 0}


@contextmanager
def new_home() -> Iterator[Path]:
    """Make a state directory with a path short enough for sockets, and remove it at the end."""
    path = Path(tempfile.mkdtemp(prefix="ca-", dir=SHORT))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """A state directory of the test."""
    with new_home() as path:
        yield path


@pytest.fixture(scope="module")
def module_home() -> Iterator[Path]:
    """A state directory that all tests of a module share."""
    with new_home() as path:
        yield path


@pytest.fixture
def settings() -> Settings:
    """Settings that do not mind how busy the machine is."""
    return Settings(**CALM)


@pytest.fixture
async def app(home: Path, settings: Settings) -> AsyncIterator["App"]:
    """The whole product in this process, on real shims and a real database."""
    async with open_app(home, settings) as opened:
        yield opened
        await opened.engine.consoles.stop_all(grace=0.1)


class FixedClock:
    """A clock that goes on by a millisecond whenever it is read."""

    boot_id = "this-boot"

    def __init__(self) -> None:
        self._ticks = itertools.count(1_000_000)

    def now(self) -> float:
        return next(self._ticks) / 1000


class CalmGauge:
    """A machine that has nothing to do."""

    load = 0.0
    memory = 0.0

    def load_per_cpu(self) -> float:
        return self.load

    def memory_percent(self) -> float:
        return self.memory


@pytest.fixture
def gauge() -> CalmGauge:
    return CalmGauge()


Build = Callable[..., Awaitable[JobManager]]


@pytest.fixture
async def build(gauge: CalmGauge) -> AsyncIterator[Build]:
    """Open a JobManager on the in-memory adapters, or on those given."""
    opened: list[JobManager] = []
    numbers = itertools.count(1)

    async def make(
        *, store: Any = None, host: Any = None, clock: Any = None, **knobs: Any
    ) -> JobManager:
        settings = Settings(**knobs)
        store = store or MemoryStore()
        manager = JobManager(
            settings=settings,
            store=store,
            host=host or MemoryHost(),
            clock=clock or FixedClock(),
            admission=Admission(settings, gauge),
            new_id=lambda: f"job-{next(numbers):04}",
        )
        await store.open()
        await asyncio.wait_for(manager.open(), PATIENCE)
        opened.append(manager)
        return manager

    yield make
    for manager in opened:
        await manager.close()
