"""A daemon that kills itself at a named point of its work.

The store, the host and the observer of its engine are the real ones, each behind a stand-in that
dies before or after one of its calls. A point is named after the call, and a write after the events
it puts into the journal: `before start`, `after update Picked`. A write's `after` is the moment when
it is on the disk and nobody has been told; a death `during` a write leaves everybody the time to
tell others of what is not on the disk, and then it is lost.
"""

import os
import signal
from asyncio import Future, get_running_loop
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from console_automation import app
from console_automation.adapters.machine import SystemClock
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.adapters.state_directory import StateDirectory
from console_automation.config import Settings
from console_automation.engine.engine import Engine
from console_automation.frontends import daemon as runner
from console_automation.ports.runs import RunObserver
from console_automation.ports.stores import Entry
from tests.integration.daemons import serve_as_installed

STORE = ("insert", "update", "delete")
SCHEDULES = ("save",)
HOST = ("start", "adopt", "stop", "confirm", "discard")
OBSERVER = ("run_started", "run_exited", "run_found", "run_refused")

_TURNS = 50  # of the event loop, in which a daemon may tell others of what it has not written yet


class Fuse:
    """Kills this process at a point, and writes down the points passed before."""

    def __init__(self, point: str | None, passed: Path) -> None:
        self._point = point
        self._passed = passed

    def reach(self, point: str) -> None:
        if self.is_at(point):
            os.kill(os.getpid(), signal.SIGKILL)
        with self._passed.open("a") as file:
            file.write(point + "\n")

    def is_at(self, point: str) -> bool:
        return point == self._point

    def smoulder(self, point: str, turns: int) -> None:
        """Reach a point after so many turns of the event loop."""
        if turns:
            get_running_loop().call_soon(self.smoulder, point, turns - 1)
        else:
            self.reach(point)


class Stand:
    """Stands in for a port and reaches a point before and after each of the named calls."""

    def __init__(self, port: Any, calls: Sequence[str], fuse: Fuse) -> None:
        self._port = port
        self._calls = calls
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._dangerous(name, found) if name in self._calls else found

    def _dangerous(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def carry_out(*args: Any, **kwargs: Any) -> Any:
            point = " ".join((name, *_events(args)))
            self._fuse.reach(f"before {point}")
            if self._fuse.is_at(f"during {point}"):
                self._fuse.smoulder(f"during {point}", _TURNS)
                return get_running_loop().create_future()
            result = call(*args, **kwargs)
            if isinstance(result, Future):
                result.add_done_callback(lambda _: self._fuse.reach(f"after {point}"))
            else:
                self._fuse.reach(f"after {point}")
            return result

        return carry_out


class DangerousStore(Stand):
    """A store whose schedules are dangerous as well."""

    def __init__(self, store: SqliteStore, fuse: Fuse) -> None:
        super().__init__(store, STORE, fuse)
        self.schedules = Stand(store.schedules, SCHEDULES, fuse)


class DangerousHost(Stand):
    """A host whose reports are dangerous as well."""

    async def open(self, observer: RunObserver) -> None:
        await self._port.open(Stand(observer, OBSERVER, self._fuse))


def _events(args: Sequence[Any]) -> list[str]:
    """Return the names of the events in the journal entries that a write is given."""
    return [
        each.event
        for argument in args
        if isinstance(argument, list)
        for each in argument
        if isinstance(each, Entry)
    ]


def serve_and_die(point: str | None, passed: Path, home: Path) -> int:
    """Run a daemon that dies at a point; without one it only writes down what it passes."""
    fuse = Fuse(point, passed)

    def build(directory: StateDirectory, settings: Settings, *, store: SqliteStore) -> Engine:
        host = app.shim_host(directory, settings, SystemClock().boot_id)
        return app.build_engine(
            directory,
            settings,
            store=DangerousStore(store, fuse),  # type: ignore[arg-type]
            host=DangerousHost(host, HOST, fuse),  # type: ignore[arg-type]
        )

    runner.build_engine = build  # type: ignore[attr-defined, assignment]
    return serve_as_installed(home)
