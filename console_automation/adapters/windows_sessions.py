"""A RunHost for runs on a terminal where there are no shims: on Windows.

The programs live under this process and end with it. What became of a run is in its directory:

* the directory itself is made by who begins the run, so nobody begins it twice;
* `exit` is put there whole, when the end is known and the output complete;
* `fenced` says that it was never begun and never will be.
"""

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from console_automation.adapters.windows_terminal import Terminal
from console_automation.core.codec import exit_from_plain, exit_to_plain
from console_automation.core.job import Cause, Channel, Command, Exit, OutputCounts, TerminalSize
from console_automation.core.recovery import Hold, RunFacts
from console_automation.errors import Unavailable
from console_automation.ports.runs import RunObserver

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05
_ANSWER_SECONDS = 5.0
_JOIN_SECONDS = 10.0
_END_OF_FILE = "\x1a\r"  # Ctrl+Z and Enter, as the console has it
_REPORT = "CONSOLE_AUTOMATION_REPORT"
_ONLY_TERMINALS = "On Windows only sessions can be run, no jobs: those need POSIX processes."


class WindowsSessions:
    """Runs programs on terminals, one thread for each. `runs` holds the run directories."""

    def __init__(self, *, runs: Path) -> None:
        self._runs = runs
        self._observer: RunObserver
        self._live: dict[str, Terminal] = {}
        self._watchers: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._typing: dict[str, asyncio.Lock] = {}
        self._is_open = False

    # -- coming and going --------------------------------------------------------------------

    async def open(self, observer: RunObserver) -> None:
        """Get ready to start runs."""
        self._observer = observer
        try:
            self._runs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"Sessions cannot be run: {error}.") from error
        self._is_open = True
        self._do(self._watch())

    async def close(self) -> None:
        """End all runs: nobody would hold their terminals. Idempotent."""
        self._is_open = False
        for task in tuple(self._tasks):
            task.cancel()
        ends = (asyncio.to_thread(_ended, each) for each in self._live.values())
        await asyncio.gather(*ends)
        for run_id in list(self._live):
            self._wake(run_id, over=True)
        self._live.clear()

    async def _watch(self) -> None:
        """Keep the deadlines of all terminals, and close those that miss their program's end."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for run_id, terminal in list(self._live.items()):
                cause = terminal.due()
                if cause is not None:
                    self._end(run_id, cause)
                elif terminal.is_stuck():
                    self._do(asyncio.to_thread(terminal.close))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what the engine asks ----------------------------------------------------------------

    def start(self, run_id: str, command: Command, *, before: OutputCounts) -> None:
        """Begin a run; one that has been begun or fenced before is only looked into."""
        loop = asyncio.get_running_loop()
        if command.terminal is None:
            loop.call_soon(self._observer.run_refused, run_id, _ONLY_TERMINALS)
            return
        directory = self._directory(run_id)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            self.adopt(run_id)
            return
        except OSError as error:
            loop.call_soon(self._observer.run_refused, run_id, error.strerror or str(error))
            return
        reporting = {**command.environment, _REPORT: str(directory / "report")}
        command = replace(command, environment=reporting)
        terminal = Terminal(run_id, command, str(directory), before=before)
        self._live[run_id] = terminal
        terminal.start(self, lambda exit: _record(directory, exit))

    def adopt(self, run_id: str) -> None:
        """Tell what is left of a run of an earlier process: its end, or that nobody saw it."""
        if run_id not in self._live:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._observer.run_found, run_id, _facts(self._directory(run_id)))

    def stop(self, run_id: str, *, signal: int, grace: float) -> None:
        """End a run with everything it started, at once: there is no polite way to."""
        self._end(run_id, Cause.CANCEL)

    def _end(self, run_id: str, cause: Cause) -> None:
        terminal = self._live.get(run_id)
        if terminal is not None:
            self._do(asyncio.to_thread(terminal.end, cause))

    def confirm(self, run_id: str, *, discard: bool) -> None:
        """The run's end is committed."""
        if discard:
            self.discard(run_id)

    def discard(self, run_id: str) -> None:
        """Delete what is left of an ended run."""
        if run_id not in self._live:
            shutil.rmtree(self._directory(run_id), ignore_errors=True)

    async def send_input(self, run_id: str, text: str, *, eof: bool) -> int:
        """Type; waits while the program does not take it, for some seconds."""
        terminal = self._live.get(run_id)
        written = None
        if terminal is not None:
            text += _END_OF_FILE * eof
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    async with self._typing.setdefault(run_id, asyncio.Lock()):
                        written = await asyncio.to_thread(terminal.write, text)
            except TimeoutError:
                raise Unavailable("Its program takes no input; try again.") from None
        if written is None:
            raise Unavailable("It is just starting, or has just ended; try again in a moment.")
        return written

    async def resize(self, run_id: str, size: TerminalSize) -> None:
        """Change the size of the run's terminal."""
        terminal = self._live.get(run_id)
        if terminal is None or not await asyncio.to_thread(terminal.resize, size.cols, size.rows):
            raise Unavailable("Its terminal does not take this size now; try again.")

    async def wait_for_output(self, run_id: str, *, after: int) -> None:
        """Return when there is output beyond a sequence number, or the run is over."""
        terminal = self._live.get(run_id)
        if terminal is not None and terminal.counts.last_sequence <= after:
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.setdefault(run_id, []).append((after, news))
            await news

    def report(
        self, run_id: str, channel: Channel, *, since: int = 0, max_bytes: int = 1 << 20
    ) -> bytes | None:
        """Read what the program on the run's terminal has reported."""
        try:
            return (self._directory(run_id) / channel).read_bytes()[since : since + max_bytes]
        except OSError:
            return None

    def progress(self, run_id: str) -> OutputCounts | None:
        """Return how much a live run has printed so far."""
        terminal = self._live.get(run_id)
        return terminal.counts if terminal else None

    @property
    def capacity(self) -> Mapping[str, int]:
        """Return how many runs are live."""
        return {"idle": 0, "live": len(self._live)}

    # -- what terminals tell -----------------------------------------------------------------

    def started(self, run_id: str, pid: int, at: float) -> None:
        """A program runs."""
        if self._is_open:
            self._observer.run_started(run_id, pid=pid, at=at)

    def printed(self, run_id: str) -> None:
        """There is more output."""
        self._wake(run_id, over=False)

    def exited(self, run_id: str, exit: Exit) -> None:
        """A program has ended."""
        self._live.pop(run_id, None)
        self._typing.pop(run_id, None)
        self._wake(run_id, over=True)
        if self._is_open:
            self._observer.run_exited(run_id, exit)

    def _wake(self, run_id: str, *, over: bool) -> None:
        terminal = self._live.get(run_id)
        last = terminal.counts.last_sequence if terminal else 0
        waiting = []
        for after, news in self._watchers.pop(run_id, ()):
            if news.done():
                continue
            if over or last > after:
                news.set_result(None)
            else:
                waiting.append((after, news))
        if waiting:
            self._watchers[run_id] = waiting

    def _directory(self, run_id: str) -> Path:
        return self._runs / run_id


def _ended(terminal: Terminal) -> None:
    terminal.end(Cause.CANCEL)
    terminal.thread.join(_JOIN_SECONDS)


def _record(directory: Path, exit: Exit) -> None:
    """Put an exit on record, whole or not at all."""
    fresh = directory / "exit.new"
    try:
        fresh.write_text(json.dumps(exit_to_plain(exit)), encoding="utf-8")
        os.replace(fresh, directory / "exit")
    except OSError as error:
        log.error("the exit in %s is not on record: %s", directory, error)


def _facts(directory: Path) -> RunFacts:
    """Return what is known of a run that does not live here; one that never began is fenced off."""
    try:
        directory.mkdir(mode=0o700)
        (directory / "fenced").touch()
    except FileExistsError:
        pass
    except OSError as error:
        log.warning("cannot look into %s: %s", directory, error)
    if (directory / "fenced").exists():
        return RunFacts(hold=Hold.FENCED)
    try:
        plain = json.loads((directory / "exit").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return RunFacts(hold=Hold.NOBODY, started=True)
    return RunFacts(hold=Hold.NOBODY, started=True, exit=exit_from_plain(plain))
