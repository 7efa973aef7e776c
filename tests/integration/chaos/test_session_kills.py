"""The daemon is killed again and again at random moments, while sessions are opened, typed into and
stopped.

Promises 1, 4, 5 and 6 for sessions: every acknowledged one exists, none stays half open or half closed,
and every command has a true end or one that is said to be unknown. The seeds are fixed, the machine is
not.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from console_automation.errors import Conflict, SessionClosed, TimedOut, Unavailable
from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.chaos.test_random_kills import kill_a_shim, kill_launcher
from tests.integration.daemons import Caller, Daemon, killable
from tests.integration.driven import Driven
from tests.processes import bearing, new_mark
from tests.waiting import PATIENCE, until_now

ROUNDS = 12
CLIENTS = 2
MOST_LEFT_OPEN = 15  # by each client: there is a cap on sessions
LONGEST_LIFE = 0.6  # seconds; the first of them are spent on taking up what was there
T = TypeVar("T")


@dataclass
class Seen:
    """What a client knows of a session of its own."""

    id: str
    commands: dict[str, int] = field(default_factory=dict)  #: exit codes by acknowledged command
    asked_to_stop: bool = False
    stopped: bool = False  #: and that was acknowledged


class Driver(threading.Thread):
    """A client that opens sessions, types into them and stops them until it is told to stop."""

    def __init__(self, home: Path, chance: random.Random, mark: str) -> None:
        super().__init__()
        self.caller = Caller(home)
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self.seen: list[Seen] = []
        self._chance = chance
        self._options = {"environment": {"HOME": str(home), "MARK": mark, "PS1": "$ "}}

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._live_through()
        except BaseException as error:
            self.failure = error
        finally:
            self.caller.hang_up()

    def _live_through(self) -> None:
        """Open a session, type into it, and stop it or leave it."""
        asked = {"command": "bash", "args": ["--norc"], "options": self._options}
        created = self._dare(lambda: self.caller.call("console_create_session", **asked))
        if created is None:
            return  # not acknowledged
        seen = Seen(created["sessionId"])
        self.seen.append(seen)
        for _ in range(self._chance.randrange(5)):
            self._type(seen)
        left_open = sum(not each.asked_to_stop for each in self.seen)
        if self._chance.random() < 0.6 or left_open > MOST_LEFT_OPEN:
            stop = {"sessionId": seen.id, "force": self._chance.random() < 0.3}
            seen.asked_to_stop = True
            answer = self._dare(lambda: self.caller.call("console_stop_session", **stop))
            seen.stopped = answer is not None

    def _type(self, seen: Seen) -> None:
        code = self._chance.randrange(1, 200)
        pause = self._chance.choice((0, 0, 0.05, 0.2))
        line = f"echo $((1000 + {code})); sleep {pause}; (exit {code})"
        asked = {"sessionId": seen.id, "command": line, "options": {"timeout": 0}}
        typed = self._dare(lambda: self.caller.call("console_execute_command", **asked))
        if typed is not None:
            seen.commands[typed["commandId"]] = code

    def _dare(self, call: Callable[[], T]) -> T | None:
        """Make a call that the daemon may die over; None when it has, or cannot now."""
        try:
            return call()
        except DaemonUnavailable:
            until_now(lambda: self.stopping.is_set() or self.caller.dial(), "the next daemon")
        except (Conflict, SessionClosed, TimedOut, Unavailable):
            pass
        return None


@contextmanager
def driving(home: Path, chance: random.Random, mark: str) -> Iterator[list[Driver]]:
    """Have clients drive sessions until the context is left."""
    drivers = [Driver(home, random.Random(chance.random()), mark) for _ in range(CLIENTS)]
    for driver in drivers:
        driver.start()
    try:
        yield drivers
    finally:
        for driver in drivers:
            driver.stopping.set()
        for driver in drivers:
            driver.join(PATIENCE)
    for driver in drivers:
        assert not driver.is_alive() and driver.failure is None, driver.failure


def check(daemon: Daemon, seen: Seen, *, shims_died: bool) -> set[str]:
    """See what became of a session and of what was typed into it; return how its commands ended."""
    driven = Driven(daemon, seen.id)
    may_be = {"lost"} if shims_died else set()
    if seen.stopped:
        assert driven.closed()["closing"] in {"stopped", *may_be}
    elif until_now(lambda: _settled(driven), f"{seen.id} to be open or closed") == "closed":
        assert driven.closed()["closing"] in may_be | ({"stopped"} if seen.asked_to_stop else set())
    known = driven.commands()
    assert set(seen.commands) <= set(known), "an acknowledged command is gone"
    ends = set()
    for command_id in known:
        over = driven.over(command_id)
        code = int(over["command"].rpartition(" ")[2].rstrip(")"))
        assert (over["status"], over["exitCode"]) in (("failed", code), ("unknown", None)), over
        ends.add(over["status"])
        if over["status"] == "failed":
            assert f"{1000 + code}" in driven.printed(since=over["since"])
    if _is_open(driven):
        driven.until("idle")
        assert driven.run("(exit 77)")["exitCode"] == 77
    driven.stop(force=True)
    assert driven.closed()["closing"] is not None
    return ends


def _settled(driven: Driven) -> str | None:
    status: str = driven.state()["session"]["status"]
    return status if status in ("open", "closed") else None


def _is_open(driven: Driven) -> bool:
    return _settled(driven) == "open"


@pytest.mark.parametrize("shims_die", [False, True])
def test_whatever_dies_sessions_and_commands_have_true_ends_or_such_as_are_not_known(
    home: Path, shims_die: bool
) -> None:
    chance, mark = random.Random(3), new_mark()
    with killable(home, kill_grace_ms=200, session_ready_ms=2_000) as daemon:
        with driving(home, chance, mark) as drivers:
            for _ in range(ROUNDS):
                time.sleep(chance.uniform(0.05, LONGEST_LIFE))
                if chance.random() < 0.3:
                    kill_launcher(daemon)
                if shims_die:
                    kill_a_shim(daemon, chance)
                if chance.random() < 0.8:
                    daemon.restart()
        daemon.restart()
        sessions = [seen for driver in drivers for seen in driver.seen]
        ends: set[str] = set()
        for seen in sessions:
            ends |= check(daemon, seen, shims_died=shims_die)
        assert len(sessions) > CLIENTS and "failed" in ends
        listed: list[dict[str, Any]] = daemon.call("console_list_sessions", limit=1000)["sessions"]
        assert {seen.id for seen in sessions} <= {each["sessionId"] for each in listed}
        for each in listed:  # those whose acknowledgement was cut off, too
            until_now(lambda each=each: _settled(Driven(daemon, each["sessionId"])), "settling")
            Driven(daemon, each["sessionId"]).stop(force=True)
        assert daemon.call("console_list_sessions", closed=False)["open"] == 0
        until_now(lambda: not bearing(mark), "the end of every process")
