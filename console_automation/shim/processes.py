"""The processes of one run: reaping them, asking them to end, seeing to it that they have."""

import os
import signal
import time
from typing import Any

from console_automation.shim.tree import DescendantTree, GroupTree, Tree, command_of

NEVER = float("inf")
LEFTOVER_GRACE_SECONDS = 2.0
_AGAIN_SECONDS = 1.0  # between attempts to kill what does not die
_HANG_UP_AGAIN_SECONDS = 0.25
_HANG_UP_SECONDS = 1.0  # of the grace are for those who ignored SIGTERM
_REAP_SECONDS = 0.05  # what was killed takes a moment to become a zombie
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds on a clock that also runs while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Processes:
    """Everything that descends from the main process `pid`.

    `subreaper` says whether orphans become our children, so that none can be missed. `leave` asks to
    let what outlives the main process be, instead of ending it. `on_terminal`: SIGTERM, which
    interactive shells ignore, is followed by a hang-up before the grace is over.
    """

    def __init__(
        self, pid: int, *, subreaper: bool, leave: bool, grace: float, on_terminal: bool = False
    ) -> None:
        self.pid = pid
        self.on_terminal = on_terminal
        self.subreaper = subreaper
        self.leave = leave
        self.grace = grace
        self.status: int | None = None  #: of the main process, as wait reports it
        self.ended_at = 0.0
        self.cause = "exit"
        self.leftovers: list[dict[str, Any]] = []
        self.left_alone = False
        self.childless = False
        self.gave_up = False  #: something cannot be killed
        self.due = NEVER  #: when `act` is to be called
        self.again = NEVER  #: when `hang_up_again` is
        self.cpu_seconds = 0.0
        self.max_rss = 0
        self._tree: Tree | None = None

    @property
    def are_over(self) -> bool:
        """Whether the main process has ended and what it left is dealt with."""
        return self.status is not None and (self.childless or self.left_alone or self.gave_up)

    @property
    def left_nothing(self) -> bool:
        """Whether no process is alive."""
        return self.childless and not self.left_alone

    def reap(self) -> None:
        """Collect every child that has ended."""
        try:
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                self.cpu_seconds += usage.ru_utime + usage.ru_stime
                self.max_rss = max(self.max_rss, usage.ru_maxrss)
                if pid == self.pid:
                    self.status = status
                    self.ended_at = time.time()
        except ChildProcessError:
            self.childless = self.subreaper or not self._processes().survivors()
        if self.status is not None and not self.childless:
            self._deal_with_leftovers()

    def stop(self, cause: str, number: int, grace: float) -> None:
        """Ask every process to end; whoever has not after the grace is killed."""
        self.reap()
        if self.status is None and self.cause == "exit":
            self.cause = cause
        if self.childless:
            return
        self.due = min(self.due, now() + grace)
        if number == signal.SIGKILL:
            self.act()
            return
        self._processes().signal(number)
        if number == signal.SIGHUP:
            # A shell that was about to wait for input may miss the first: it looks for signals, then
            # waits. A real terminal would be gone, and its read would fail.
            self.again = now() + _HANG_UP_AGAIN_SECONDS
        elif number == signal.SIGTERM and self.on_terminal:
            self.again = now() + max(grace / 2, grace - _HANG_UP_SECONDS)

    def hang_up_again(self) -> None:
        """Hang up, until it was heard."""
        self._processes().signal(signal.SIGHUP)
        self.again = now() + _HANG_UP_AGAIN_SECONDS

    def act(self) -> None:
        """The grace is over: kill whatever is left."""
        self.again = NEVER
        immortal = self._processes().kill()
        self.reap()
        if self.status is None:
            self.due = now() + _AGAIN_SECONDS
        elif immortal:
            self.gave_up = True
            self.leftovers = _described(immortal, ended=False)
        else:
            self.due = now() + _REAP_SECONDS

    def _deal_with_leftovers(self) -> None:
        """The main process has ended by itself and others are left: end them, or let them be."""
        if self.due != NEVER or self.left_alone or self.gave_up:
            return
        left = self._processes().survivors()
        if not left:
            return
        self.left_alone = self.leave
        self.leftovers = _described(left, ended=not self.leave)
        if not self.leave:
            self._processes().signal(signal.SIGTERM)
            # A system that does not tell us of their deaths has to be asked soon.
            patience = LEFTOVER_GRACE_SECONDS if self.subreaper else _REAP_SECONDS
            self.due = now() + min(self.grace, patience)

    def _processes(self) -> Tree:
        if self._tree is None:
            self._tree = DescendantTree() if self.subreaper else GroupTree(self.pid)
        return self._tree


def _described(pids: list[int], *, ended: bool) -> list[dict[str, Any]]:
    return [{"pid": pid, "command": command_of(pid), "ended": ended} for pid in pids]
