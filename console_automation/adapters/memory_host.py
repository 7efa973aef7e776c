"""A RunHost without processes: runs three words of shell, for tests of what is above it.

`exit N` ends at once with that code, `echo TEXT` prints and ends with 0, anything else runs until it
is stopped or `finish` is called.
"""

import asyncio
from collections.abc import Mapping

from console_automation.core.job import Cause, Channel, Command, Exit, OutputCounts, TerminalSize
from console_automation.core.recovery import Hold, RunFacts
from console_automation.errors import Conflict
from console_automation.ports.runs import RunObserver


class MemoryHost:
    """Keeps runs as entries in a dictionary. `begun` lists the runs that were really begun."""

    def __init__(self) -> None:
        self.refusal: str | None = None  #: why no run can begin now
        self.begun: list[str] = []
        self.confirmed: list[str] = []
        self.discarded: list[str] = []
        self.typed: dict[str, list[str]] = {}
        self.sizes: dict[str, TerminalSize] = {}
        self.reports: dict[tuple[str, Channel], bytes] = {}
        self.printed: dict[str, OutputCounts] = {}  #: how far live runs have come, as `prints` told
        self._observer: RunObserver
        self._live: dict[str, tuple[Command, OutputCounts]] = {}
        self._over: dict[str, RunFacts] = {}  #: what there is to find of runs that are not live
        self._news: dict[str, asyncio.Event] = {}

    async def open(self, observer: RunObserver) -> None:
        """Get ready to start runs."""
        self._observer = observer

    async def close(self) -> None:
        """Let go of all runs; live ones go on."""

    def start(self, run_id: str, command: Command, *, before: OutputCounts) -> None:
        """Begin a run; one that has been begun or fenced before is only looked into."""
        if run_id in self.begun:
            self.adopt(run_id)
            return
        if self.refusal is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._observer.run_refused, run_id, self.refusal)
            return
        self.begun.append(run_id)
        self._live[run_id] = (command, before)
        self._news[run_id] = asyncio.Event()
        asyncio.get_running_loop().call_soon(self._run, run_id)

    def _run(self, run_id: str) -> None:
        command, before = self._live[run_id]
        word, _, rest = command.argv[-1].partition(" ")
        self._tell_start(run_id)
        if word == "exit":
            self.finish(run_id, code=int(rest))
        elif word == "echo":
            last = before.last_sequence + 1
            printed = before.bytes + len(rest) + 1
            counts = OutputCounts(bytes=printed, dropped_bytes=before.bytes, last_sequence=last)
            self.finish(run_id, code=0, output=counts)

    def _tell_start(self, run_id: str) -> None:
        if run_id in self._live:
            self._observer.run_started(run_id, pid=self.begun.index(run_id) + 1, at=1.0)

    def finish(
        self,
        run_id: str,
        *,
        code: int | None = None,
        signal: int | None = None,
        cause: Cause = Cause.EXIT,
        output: OutputCounts | None = None,
    ) -> None:
        """End a live run."""
        if run_id not in self._live:
            return
        _, before = self._live.pop(run_id)
        exit = Exit(
            cause=cause,
            code=code,
            signal=signal,
            started_at=1.0,
            ended_at=2.0,
            output=output or before,
        )
        self._over[run_id] = RunFacts(hold=Hold.NOBODY, started=True, exit=exit)
        self._news[run_id].set()
        self._observer.run_exited(run_id, exit)

    def lose(self, run_id: str) -> None:
        """Have a run's shim die."""
        del self._live[run_id]
        self._news[run_id].set()
        self._over[run_id] = RunFacts(hold=Hold.NOBODY, started=True)
        self._observer.run_found(run_id, self._over[run_id])

    def adopt(self, run_id: str) -> None:
        """Take up a live run of this very object, or tell what is left of it; fence off any other."""
        loop = asyncio.get_running_loop()
        if run_id in self._live:
            loop.call_soon(self._tell_start, run_id)
            return
        if run_id not in self._over:
            self.begun.append(run_id)
            self._over[run_id] = RunFacts(hold=Hold.FENCED)
        loop.call_soon(self._observer.run_found, run_id, self._over[run_id])

    def stop(self, run_id: str, *, signal: int, grace: float) -> None:
        """End a run."""
        asyncio.get_running_loop().call_soon(self._stop, run_id, signal)

    def _stop(self, run_id: str, signal: int) -> None:
        self.finish(run_id, signal=signal, cause=Cause.CANCEL)

    def confirm(self, run_id: str, *, discard: bool) -> None:
        """The run's end is committed."""
        self.confirmed.append(run_id)

    def discard(self, run_id: str) -> None:
        """Delete what is left of an ended run."""
        self.discarded.append(run_id)

    async def send_input(self, run_id: str, text: str, *, eof: bool) -> int:
        """Take input if the run has an open stdin, or a terminal."""
        command, _ = self._live.get(run_id, (None, None))
        if command is None or not (command.keep_stdin or command.terminal):
            raise Conflict("stdin is closed")
        self.typed.setdefault(run_id, []).append(text)
        return len(text.encode())

    async def resize(self, run_id: str, size: TerminalSize) -> None:
        """Note the size."""
        self.sizes[run_id] = size

    def prints(self, run_id: str, counts: OutputCounts) -> None:
        """Have a live run print so far."""
        self.printed[run_id] = counts
        news, self._news[run_id] = self._news[run_id], asyncio.Event()
        news.set()

    async def wait_for_output(self, run_id: str, *, after: int) -> None:
        """Return when a live run has printed beyond a sequence number, or is over."""
        while run_id in self._live:
            if (counts := self.printed.get(run_id)) and counts.last_sequence > after:
                break
            await self._news[run_id].wait()

    def report(
        self, run_id: str, channel: Channel, *, since: int = 0, max_bytes: int = 1 << 20
    ) -> bytes | None:
        """Return what a test has put into `reports`."""
        data = self.reports.get((run_id, channel))
        return None if data is None else data[since : since + max_bytes]

    def progress(self, run_id: str) -> OutputCounts | None:
        """Return how far a live run has come."""
        return self.printed.get(run_id)

    @property
    def capacity(self) -> Mapping[str, int]:
        """Return how many runs are live."""
        return {"idle": 0, "live": len(self._live)}
