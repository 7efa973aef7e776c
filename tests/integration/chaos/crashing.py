"""A daemon that kills itself, or the cluster's NATS server, at a named point of its work.

The store, the host and the observer of its engine, and its bus, are the real ones, each behind a
stand-in that dies before or after one of its calls. A point is named after the call, a write after
the events it puts into the journal, and one to the cluster after the phase that it puts down: `before
start`, `after update Picked`, `after update claimed`. A write's `after` is the moment when it is on
the disk and nobody has been told; a death `during` a write leaves everybody the time to tell others
of what is not on the disk, and then it is lost.
"""

import os
import re
import signal
from asyncio import Future, get_running_loop, iscoroutine
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from console_automation import app
from console_automation.adapters.machine import SystemClock
from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.bus import NatsBus
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.adapters.state_directory import StateDirectory
from console_automation.config import Settings
from console_automation.engine.engine import Engine
from console_automation.frontends import daemon as runner
from console_automation.ports.runs import RunObserver
from console_automation.ports.stores import Entry
from tests.integration.daemons import Daemon, Serve, killable, serve_as_installed

STORE = ("insert", "update", "delete")
WORKFLOWS = ("add_run", "save_step", "save_run")
SCHEDULES = ("save",)
HOST = ("start", "adopt", "stop", "confirm", "discard")
OBSERVER = ("run_started", "run_exited", "run_found", "run_refused")
BUS = ("hint",)
RECORDS = ("create", "update")

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


class Mine(Fuse):
    """Kills the server whose pid is in a file, once at each of several points."""

    def __init__(self, points: Sequence[str], target: Path, passed: Path) -> None:
        super().__init__(None, passed)
        self._points = set(points)
        self._target = target

    def reach(self, point: str) -> None:
        if point in self._points:
            self._points.remove(point)
            with suppress(ProcessLookupError):
                os.kill(int(self._target.read_text()), signal.SIGKILL)
        super().reach(point)


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
            if iscoroutine(result):
                return self._awaited(result, point)
            if isinstance(result, Future):
                result.add_done_callback(lambda _: self._fuse.reach(f"after {point}"))
            else:
                self._fuse.reach(f"after {point}")
            return result

        return carry_out

    async def _awaited(self, result: Coroutine[Any, Any, Any], point: str) -> Any:
        value = await result
        self._fuse.reach(f"after {point}")
        return value


class DangerousStore(Stand):
    """A store whose schedules and workflows are dangerous as well."""

    def __init__(self, store: SqliteStore, fuse: Fuse) -> None:
        super().__init__(store, STORE, fuse)
        self.schedules = Stand(store.schedules, SCHEDULES, fuse)
        self.workflows = Stand(store.workflows, WORKFLOWS, fuse)


class DangerousHost(Stand):
    """A host whose reports are dangerous as well."""

    async def open(self, observer: RunObserver) -> None:
        await self._port.open(Stand(observer, OBSERVER, self._fuse))


class DangerousBus(Stand):
    """A bus whose jobs are dangerous as well."""

    def __init__(self, bus: NatsBus, fuse: Fuse) -> None:
        super().__init__(bus, BUS, fuse)
        self.jobs = Stand(bus.jobs, RECORDS, fuse)


def _events(args: Sequence[Any]) -> list[str]:
    """Return the names of the events in the journal entries that a write is given, or the phase in the
    record."""
    found = [
        each.event
        for argument in args
        if isinstance(argument, list)
        for each in argument
        if isinstance(each, Entry)
    ]
    records = b"".join(each for each in args if isinstance(each, bytes))
    return found + [each.decode() for each in re.findall(rb'"phase":"(\w+)"', records)]


def serve_and_die(point: str | None, passed: Path, home: Path) -> int:
    """Run a daemon that dies at a point; without one it only writes down what it passes."""
    return _serve(Fuse(point, passed), home)


def serve_and_kill(points: Sequence[str], target: Path, passed: Path, home: Path) -> int:
    """Run a daemon that kills a server, whose pid is in a file, once at each of several points."""
    return _serve(Mine(points, target, passed), home)


@contextmanager
def dying(
    home: Path, points: list[str], **settings: Any
) -> Iterator[tuple[Daemon, Callable[[], None]]]:
    """Run one daemon after another, each dying at its point, and at last one that lives; with what starts
    the next one. Takes the points out of the list, and writes what is passed into `home/passed`."""
    passed = home / "passed"
    passed.touch()

    def next_one() -> Serve:
        return partial(serve_and_die, points.pop(0) if points else None, passed)

    def revive() -> None:
        assert daemon.join() == -signal.SIGKILL
        daemon.start(next_one())

    with killable(home, next_one(), **settings) as daemon:
        yield daemon, revive


def _serve(fuse: Fuse, home: Path) -> int:
    def build(directory: StateDirectory, settings: Settings, *, store: SqliteStore) -> Engine:
        host = app.shim_host(directory, settings, SystemClock().boot_id)
        return app.build_engine(
            directory,
            settings,
            store=DangerousStore(store, fuse),  # type: ignore[arg-type]
            host=DangerousHost(host, HOST, fuse),  # type: ignore[arg-type]
            bus=_bus(settings, fuse),  # type: ignore[arg-type]
        )

    runner.build_engine = build  # type: ignore[attr-defined, assignment]
    return serve_as_installed(home)


def _bus(settings: Settings, fuse: Fuse) -> DangerousBus | None:
    if not settings.nats_url:
        return None
    access = Access(servers=(settings.nats_url,))
    lease = settings.cluster_lease_ms / 1000
    max_bytes = settings.cluster_max_bytes
    return DangerousBus(
        NatsBus(settings.cluster_name, access, lease=lease, max_bytes=max_bytes), fuse
    )
