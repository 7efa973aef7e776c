"""Promises 14 and 15 for sessions: however one is ended, nothing that was started in it is left, and
nothing else is hit.

Every process of a shape bears its mark, a number, in its arguments; the environment may be emptied.
"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.conftest import CALM
from tests.integration.clients import Library
from tests.integration.consoles import Console, opened
from tests.integration.daemons import killable
from tests.integration.driven import open_session
from tests.integration.servers import end_everything
from tests.integration.steps import ok
from tests.integration.zoo import Zoo
from tests.processes import RUNNER, bearing, is_alive, is_held, new_mark
from tests.waiting import PATIENCE, until, until_now

#: What is typed into a shell, with the number of processes that come to bear the mark.
SHAPES = {
    "foreground": ("sleep {mark}", 1),
    "background": ("sleep {mark} & sleep {mark} &", 2),
    "pipeline in its own group": ("sleep {mark} | sleep {mark}", 2),
    "disowned": ("sleep {mark} & disown -a", 1),
    "nohup": ("nohup sleep {mark} >/dev/null 2>&1 &", 1),
    "own session": ("setsid sleep {mark} &", 1),
    "double fork": ("(setsid sh -c 'sleep {mark} & sleep {mark}' &)", 3),
    "hidden daemon": ("(setsid env -i sleep {mark} <&- >&- 2>&- &)", 1),
    "deaf": ("sh -c 'trap \"\" TERM HUP INT QUIT; while :; do sleep {mark}; done'", 2),
    "stopped": ("sh -c 'sleep {mark} & kill -STOP $!; kill -STOP $$; sleep {mark}' &", 2),
    "deaf and stopped": ("setsid sh -c 'trap \"\" TERM HUP; kill -STOP $$' {mark} &", 1),
    "on its terminal's other side": ("script -qc 'sleep {mark}' /dev/null", 2),
    "another shell": ("sh -c 'sh -c \"sleep {mark}; :\"; :'", 3),
}
SHELL_IS_DEAF = "trap '' HUP TERM; "


@dataclass
class Sessions(Zoo):
    """A session for every shape."""

    consoles: dict[str, Console] = field(default_factory=dict)

    async def fill(self, home: Path) -> None:
        """Open a session for every shape, and start a stranger that does the same."""
        await asyncio.gather(*(self._open(name, home) for name in self.shapes))

    async def _open(self, name: str, home: Path) -> None:
        line = self.line(name)
        console = self.consoles[name] = await opened(Library(self.app), home, "bash")
        self.add_stranger(name, f"{console.id}.10")
        await console.start(line, options={"timeout": 0})

    async def ends(self) -> dict[str, str]:
        """Return why each is closed, having looked for survivors at the moment it was."""

        async def end(name: str, console: Console) -> tuple[str, str]:
            session = await console.closed()
            assert name not in self.alive(), f"{name} is closed, but still alive"
            return name, session["closing"]

        ends = await asyncio.gather(*(end(*each) for each in self.consoles.items()))
        return dict(ends)


@pytest.fixture(autouse=True)
def nothing_is_left(home: Path) -> Iterator[None]:
    """Sessions outlive the app that a test opens: end those that the test has left open."""
    yield
    end_everything(home)


async def stop(zoo: Sessions) -> None:
    await asyncio.gather(*(each.ok("console_stop_session") for each in zoo.consoles.values()))


async def force(zoo: Sessions) -> None:
    stops = (each.ok("console_stop_session", force=True) for each in zoo.consoles.values())
    await asyncio.gather(*stops)


async def stop_the_daemon(zoo: Sessions) -> None:
    await zoo.app.engine.consoles.stop_all(grace=0.2)


async def clean_up(zoo: Sessions) -> None:
    await ok(
        Library(zoo.app), "console_cleanup_sessions", options={"inactive": 0, "olderThan": 9e6}
    )


async def wait(zoo: Sessions) -> None:
    """A limit ends them."""


WAYS: dict[str, tuple[dict[str, Any], Callable[[Sessions], Awaitable[None]], str]] = {
    "stop": ({}, stop, "stopped"),
    "force": ({}, force, "stopped"),
    "stopping the daemon": ({}, stop_the_daemon, "stopped"),
    "cleaning up the inactive": ({}, clean_up, "stopped"),
    "idle limit": ({"session_idle_timeout_ms": 3_000}, wait, "idle"),
    "lifetime limit": ({"session_lifetime_ms": 6_000}, wait, "lifetime"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_a_session_is_left(home: Path, zoos: list[Zoo], way: str) -> None:
    knobs, end, expected = WAYS[way]
    settings = Settings(**CALM, kill_grace_ms=200, max_wait_ms=5_000, **knobs)
    async with open_app(home, settings) as app:
        zoo = Sessions(app, SHAPES)
        zoos.append(zoo)
        await zoo.fill(home)
        if end is not wait:
            await zoo.until_grown()
        await end(zoo)
        assert await zoo.ends() == dict.fromkeys(SHAPES, expected)


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM, kill_grace_ms=200)


@pytest.mark.parametrize("forced", [False, True])
async def test_a_deaf_shell_is_killed_with_all_it_has(app: App, home: Path, forced: bool) -> None:
    mark = new_mark()
    console = await opened(Library(app), home, "bash")
    await console.start(f"{SHELL_IS_DEAF} sleep {mark} & sleep {mark}", options={"timeout": 0})
    await until(lambda: len(bearing(mark)) == 2)
    answer = await console.ok("console_stop_session", force=forced)
    assert (answer["status"], answer["closing"]) == ("closed", "stopped")
    assert bearing(mark) == []


async def test_a_runner_does_not_get_away(app: App, home: Path, tmp_path: Path) -> None:
    """One that forks and exits every two milliseconds."""
    lock = str(tmp_path / "lock")
    runner = tmp_path / "runner.py"
    runner.write_text(RUNNER)
    console = await opened(Library(app), home, "bash")
    line = f"setsid {sys.executable} -I -S {runner} {lock} &"
    await console.start(line, options={"timeout": 0})
    await until(lambda: is_held(lock))
    assert (await console.ok("console_stop_session"))["status"] == "closed"
    assert not is_held(lock)


async def test_what_a_shell_leaves_behind_when_it_exits_is_ended(app: App, home: Path) -> None:
    mark = new_mark()
    console = await opened(Library(app), home, "bash")
    await console.run(f"nohup setsid sleep {mark} >/dev/null 2>&1 & disown -a")
    await until(lambda: bearing(mark))
    await console.type("exit 6")
    over = await console.closed()
    assert (over["closing"], over["exitCode"], bearing(mark)) == ("exited", 6, [])


async def test_ending_one_session_leaves_another_alone(app: App, home: Path) -> None:
    """Promise 15: two sessions with the very same program and command."""
    mark = new_mark()
    first, second = [await opened(Library(app), home, "bash") for _ in range(2)]
    for console in (first, second):
        await console.start(f"sleep {mark}", options={"timeout": 0})
    await until(lambda: len(bearing(mark)) == 2)
    await first.ok("console_stop_session", force=True)
    assert len(bearing(mark)) == 1
    assert (await second.state())["state"] in ("executing", "waiting_for_input")
    await second.key("ctrl+c")
    assert (await second.idle())["session"]["status"] == "open"


def test_no_stored_pid_is_ever_signalled(home: Path) -> None:
    """Promises 6 and 15: the pid of a lost session belongs to somebody else by now."""
    mark = new_mark()
    with killable(home, kill_grace_ms=200) as daemon:
        session = open_session(daemon, home)
        pid = session.state()["session"]["pid"]
        daemon.kill()
        for shim in daemon.shims():  # nobody sees the end of the shell, whose terminal hangs up
            with suppress(psutil.NoSuchProcess):  # an idle one ends without its daemon
                shim.kill()
                shim.wait(PATIENCE)
        until_now(lambda: not is_alive(pid), "the end of the shell")
        decoy = subprocess.Popen(["sleep", mark], start_new_session=True)
        try:
            rename_pid(home, session.id, pid, decoy.pid)
            daemon.start()
            over = session.closed()
            assert (over["closing"], over["pid"]) == ("lost", decoy.pid)
            session.stop(force=True)
            daemon.call("console_cleanup_sessions", options={"olderThan": 0, "inactive": 0})
            assert decoy.poll() is None
        finally:
            decoy.kill()
            decoy.wait()


def rename_pid(home: Path, session_id: str, before: int, after: int) -> None:
    """Have the record of a session name another process, as if its pid had been given away."""
    query = "UPDATE session SET state = replace(state, ?, ?) WHERE id = ?"
    with closing(sqlite3.connect(home / "jobs.db")) as database, database:
        changed = database.execute(query, (f'"pid":{before}', f'"pid":{after}', session_id))
        assert changed.rowcount == 1


def test_stopping_the_daemon_closes_its_sessions_when_the_setting_says_so(home: Path) -> None:
    mark = new_mark()
    with killable(home, on_shutdown="stop", kill_grace_ms=200) as daemon:
        sessions = [open_session(daemon, home) for _ in range(3)]
        for session in sessions:
            line = f"{SHELL_IS_DEAF} setsid sleep {mark} & sleep {mark}"
            session.execute(line, timeout=0)
        until_now(lambda: len(bearing(mark)) == 6, "the sessions' processes")
        daemon.terminate()
        assert daemon.join() == 0
        assert not bearing(mark)
        daemon.start()
        for session in sessions:
            assert session.state()["state"] == "closed"
            assert session.closed()["closing"] == "stopped"
            [command] = session.commands().values()
            assert (command["status"], command["exitCode"]) == ("unknown", None)
