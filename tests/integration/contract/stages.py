"""Where the contract of the RunHost port is played: a host, and who listens to it.

Imports nothing that only POSIX has: the terminal part of the contract runs on Windows, too.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from console_automation.core.job import Exit
from console_automation.core.recovery import RunFacts
from console_automation.ports.runs import RunHost
from tests.waiting import until


@dataclass
class Observer:
    """Writes down what it is told."""

    started: dict[str, int] = field(default_factory=dict)
    exits: dict[str, Exit] = field(default_factory=dict)
    found: dict[str, RunFacts] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def run_started(self, run_id: str, *, pid: int, at: float) -> None:
        assert run_id not in self.exits, "told of a start after the end"
        self.started[run_id] = pid

    def run_exited(self, run_id: str, exit: Exit) -> None:
        self.exits[run_id] = exit

    def run_found(self, run_id: str, facts: RunFacts) -> None:
        self.found[run_id] = facts

    def run_refused(self, run_id: str, error: str) -> None:
        self.refused[run_id] = error

    def shim_failed(self, error: str) -> None:
        self.failures.append(error)

    def end_of(self, run_id: str) -> Exit | None:
        """Return how the run ended, told as news or found on record."""
        on_record = self.found.get(run_id)
        return self.exits.get(run_id) or (on_record and on_record.exit)


S = TypeVar("S", bound="Stage")


class Stage:
    """A host and who listens to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.observer = Observer()
        self.host: RunHost

    async def open(self) -> None:
        """Open the host as a new daemon would: knowing nothing of its runs."""
        self.observer = Observer()
        self.host = self.make()
        await self.host.open(self.observer)

    async def reopen(self) -> None:
        await self.host.close()
        await self.open()

    def make(self) -> RunHost:
        """Return a host that knows nothing yet: one on shims, unless a kind of stage has another."""
        from console_automation.adapters.shims import ShimHost

        return ShimHost(
            runs=self.home / "runs",
            path=self.home / "shims.sock",
            boot_id="this-boot",
            max_idle=4,
            uses=50,
            log_file=self.home / "log",
        )

    async def begun(self, run_id: str) -> int:
        return await until(lambda: self.observer.started.get(run_id), f"{run_id} to start")

    async def ended(self, run_id: str) -> Exit:
        return await until(lambda: self.observer.end_of(run_id), f"{run_id} to end")

    async def fact(self, run_id: str) -> RunFacts:
        return await until(lambda: self.observer.found.get(run_id), f"{run_id} to be found")


@asynccontextmanager
async def played(stage: S) -> AsyncIterator[S]:
    """Open a stage, and leave no run behind."""
    await stage.open()
    yield stage
    for run_id in stage.observer.started:
        if stage.observer.end_of(run_id) is None:
            stage.host.stop(run_id, signal=9, grace=0.0)
            await stage.ended(run_id)
    await stage.host.close()
