"""The RunHost over shims: a pool of idle ones, one per live run, and those of an earlier daemon.

The truth about a run is in its directory (`shim.state`); what comes over the wire is only faster.
When a shim's line breaks its run is investigated until the shim has dialled in again or the lock on
its state is free.
"""

import asyncio
import logging
import os
import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from console_automation.adapters import run_directory
from console_automation.adapters.launcher import Launcher
from console_automation.adapters.shim_line import ShimLine
from console_automation.adapters.sweep import VARIABLE, sweep
from console_automation.core.codec import command_to_plain, exit_from_plain
from console_automation.core.job import Channel, Command, OutputCounts, TerminalSize
from console_automation.core.recovery import Hold, RunFacts
from console_automation.errors import Conflict, Unavailable
from console_automation.ports.runs import RunObserver
from console_automation.shim import protocol

log = logging.getLogger(__name__)

_ORDERED = (
    "executable",
    "argv",
    "cwd",
    "stdin",
    "keep_stdin",
    "merge_stderr",
    "timeout",
    "idle_timeout",
    "grace",
    "output_limit",
    "on_output_limit",
    "leftovers",
    "terminal",
    "hang_up",
)
_ANSWER_SECONDS = 5.0
_DIALLING_SECONDS = 0.01
_LONGEST_PAUSE = 1.0
_SPARE = 2  #: idle shims kept ahead of need
_SIGTERM = 15
_STRANGER_SECONDS = 10.0


class ShimHost:
    """Runs commands under shims. `runs` holds the run directories, `path` is where shims dial."""

    def __init__(
        self, *, runs: Path, path: Path, boot_id: str, max_idle: int, uses: int, log_file: Path
    ) -> None:
        self._runs = runs
        self._path = path
        self._boot_id = boot_id
        self._max_idle = max_idle
        self._observer: RunObserver
        self._server: asyncio.Server | None = None
        self._launcher = Launcher(
            shim_socket=path, uses=uses, log_file=log_file, failed=self._launcher_failed
        )
        self._idle: list[ShimLine] = []
        self._lines: set[ShimLine] = set()
        self._live: dict[str, ShimLine] = {}
        self._waiting: deque[protocol.Message] = deque()
        self._forking = 0
        self._orphans: dict[str, asyncio.Task[None]] = {}
        self._strangers: dict[str, ShimLine] = {}
        self._stops: dict[str, protocol.Message] = {}
        self._tickets: dict[int, asyncio.Future[int]] = {}
        self._ticket = 0
        self._watchers: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}

    # -- coming and going --------------------------------------------------------------------

    async def open(self, observer: RunObserver) -> None:
        """Listen for shims and start the launcher."""
        self._observer = observer
        loop = asyncio.get_running_loop()
        try:
            self._runs.mkdir(mode=0o700, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self._server = await loop.create_unix_server(
                lambda: ShimLine(self), path=str(self._path), backlog=4096
            )
            await self._launcher.open()
        except OSError as error:
            raise Unavailable(f"Jobs cannot be run: {error}.") from error
        self._fork()

    async def close(self) -> None:
        """Stop listening and let idle shims and the launcher end; live shims go on."""
        for task in self._orphans.values():
            task.cancel()
        self._orphans.clear()
        if self._server:
            # asyncio never closes a connection whose server closes between its accept and its
            # transport: accept no more, let those be made, then close.
            asyncio.get_running_loop().remove_reader(self._server.sockets[0].fileno())
            await asyncio.sleep(0)
            self._server.close()
            self._server = None
        for line in list(self._lines):
            line.close()
        await self._launcher.close()

    def _launcher_failed(self, error: str) -> None:
        self._observer.shim_failed(error)
        self._forking = 0
        self._fork()

    def _fork(self) -> None:
        """See to it that there will be a shim for every waiting run, and some to spare."""
        wanted = len(self._waiting) + _SPARE - len(self._idle) - self._forking
        if wanted > 0:
            self._forking += wanted
            self._launcher.fork(wanted)

    # -- what the engine asks ----------------------------------------------------------------

    def start(self, run_id: str, command: Command, *, before: OutputCounts) -> None:
        """Hand the run to an idle shim, or to the next one there is."""
        plain = command_to_plain(command)
        order: protocol.Message = {key: plain[key] for key in _ORDERED}
        order["run"] = run_id
        order["directory"] = self._directory(run_id)
        channels: tuple[Channel, ...] = (Channel.REPORT,) if command.terminal else ()
        channels += (Channel.PROGRESS, Channel.RESULT) if command.reports else ()
        files = run_directory.variables_of(order["directory"], channels)
        order["environment"] = {**plain["environment"], **files, VARIABLE: run_id}
        order["boot_id"] = self._boot_id
        order["printed"] = before.bytes
        order["last_sequence"] = before.last_sequence
        if self._idle:
            self._give(self._idle.pop(), order)
        else:
            self._waiting.append(order)
        self._fork()

    def adopt(self, run_id: str) -> None:
        """Wait for the run's shim to dial in, or find out that there is none."""
        if run_id not in self._live and run_id not in self._orphans:
            self._orphans[run_id] = asyncio.create_task(self._investigate(run_id))
            line = self._strangers.pop(run_id, None)
            if line:
                self._greet(line, run_id)

    def stop(self, run_id: str, *, signal: int, grace: float) -> None:
        """Tell the run's shim to end it, now or as soon as it dials in."""
        message = {"stop": run_id, "cause": "cancel", "signal": signal, "grace": grace}
        line = self._live.get(run_id)
        order = self._order_of(run_id)
        if line:
            line.send(message)
        elif order:
            self._waiting.remove(order)
            self._ended(run_id)
            self._observer.run_found(run_id, RunFacts(hold=Hold.FENCED))
        else:
            self._stops[run_id] = message

    def confirm(self, run_id: str, *, discard: bool) -> None:
        """Let the shim go, it may take another run now."""
        line = self._live.pop(run_id, None)
        self._ended(run_id)  # whoever began to wait after its end was told
        self._stops.pop(run_id, None)
        if line:
            line.run_id = None
            line.send({"recorded": run_id, "discard": discard})
            if line.reusable:
                self._rest(line)
        elif discard:
            self.discard(run_id)

    def discard(self, run_id: str) -> None:
        """Delete the run's directory."""
        # Aside first: its shim may be about to use it for another run, and one rename alone succeeds.
        aside = f"{self._directory(run_id)}.gone"
        try:
            os.rename(self._directory(run_id), aside)
        except OSError:
            pass
        shutil.rmtree(aside, ignore_errors=True)

    async def send_input(self, run_id: str, text: str, *, eof: bool) -> int:
        """Write to the run's stdin or terminal."""
        accepted = await self._ask(run_id, {"input": run_id, "data": text, "eof": eof})
        if accepted < 0:
            raise Conflict(
                "The job's stdin is closed. Start jobs that are to be fed with options.keepStdin."
            )
        return accepted

    async def resize(self, run_id: str, size: TerminalSize) -> None:
        """Change the size of the run's terminal."""
        await self._ask(run_id, {"resize": run_id, "cols": size.cols, "rows": size.rows})

    async def _ask(self, run_id: str, message: protocol.Message) -> int:
        """Have the run's shim do something, and return what it answers."""
        line = await self._line_to(run_id)
        self._ticket += 1
        ticket = self._ticket
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tickets[ticket] = answer
        line.send({**message, "ticket": ticket})
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise Unavailable("Its supervisor does not answer; try again.") from None
        finally:
            self._tickets.pop(ticket, None)

    async def _line_to(self, run_id: str) -> ShimLine:
        """Return the line to a run's shim, which after a restart is about to dial in."""
        limit = asyncio.get_running_loop().time() + _ANSWER_SECONDS
        while (line := self._live.get(run_id)) is None:
            is_to_come = run_id in self._orphans or self._order_of(run_id)
            if not is_to_come or asyncio.get_running_loop().time() > limit:
                raise Unavailable("It is just starting; try again in a moment.")
            await asyncio.sleep(_DIALLING_SECONDS)
        return line

    async def wait_for_output(self, run_id: str, *, after: int) -> None:
        """Return when there is output beyond a sequence number, or the run is over."""
        line = self._live.get(run_id)
        if line is None:
            is_over = run_id not in self._orphans and not self._order_of(run_id)
        else:
            is_over = line.is_over
        if is_over:
            return
        news = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(run_id, []).append((after, news))
        if line:
            self._watch(line, run_id)
        await news

    def _order_of(self, run_id: str) -> protocol.Message | None:
        """Return the order of a run that waits for a shim."""
        return next((order for order in self._waiting if order["run"] == run_id), None)

    def _watch(self, line: ShimLine, run_id: str) -> None:
        watchers = [each for each in self._watchers.get(run_id, ()) if not each[1].done()]
        if watchers:
            line.send({"watch": run_id, "after": min(after for after, _ in watchers)})
            self._watchers[run_id] = watchers
        else:
            self._watchers.pop(run_id, None)

    def report(
        self, run_id: str, channel: Channel, *, since: int = 0, max_bytes: int = 1 << 20
    ) -> bytes | None:
        """Read what the run's program has written to a file of its own."""
        return run_directory.report_of(
            self._directory(run_id), channel, since=since, max_bytes=max_bytes
        )

    def progress(self, run_id: str) -> OutputCounts | None:
        """Read how far a run has come from its state."""
        return run_directory.progress_of(self._directory(run_id))

    @property
    def capacity(self) -> Mapping[str, int]:
        """Return how many shims are idle and how many hold a live run."""
        return {"idle": len(self._idle), "live": len(self._live)}

    # -- what shims say ----------------------------------------------------------------------

    def line_up(self, line: ShimLine) -> None:
        """A shim has dialled."""
        if self._server is None:
            line.close()  # it was accepted in the last moment
        else:
            self._lines.add(line)

    def line_down(self, line: ShimLine) -> None:
        """A shim's line broke: it ended, or it was killed."""
        self._lines.discard(line)
        if line in self._idle:
            self._idle.remove(line)
        if line.run_id is not None and self._server is not None:
            self._live.pop(line.run_id, None)
            self.adopt(line.run_id)

    def heard(self, line: ShimLine, message: protocol.Message) -> None:
        """Deal with one message of a shim."""
        if "exited" in message:
            line.is_over, line.reusable = True, message["reusable"]
            self._ended(message["exited"])
            self._observer.run_exited(message["exited"], exit_from_plain(message["exit"]))
        elif "started" in message:
            self._observer.run_started(message["started"], pid=message["pid"], at=message["at"])
        elif "output" in message:
            self._printed(message["output"])
            self._watch(line, message["output"])
        elif "accepted" in message:
            answer = self._tickets.get(message["ticket"])
            if answer and not answer.done():
                answer.set_result(message["accepted"])
        elif "refused" in message:
            self._refused(line, message["refused"], message["error"])
        elif "hello" in message:
            self._greet(line, message["run"])

    def _greet(self, line: ShimLine, run_id: str | None) -> None:
        if run_id is None:
            self._forking = max(0, self._forking - 1)
            self._rest(line)
            return
        task = self._orphans.pop(run_id, None)
        if task is None:
            # It may be adopted in a moment: shims dial in while the jobs are still being taken up.
            self._strangers[run_id] = line
            loop = asyncio.get_running_loop()
            loop.call_later(_STRANGER_SECONDS, self._dismiss, run_id)
            return
        task.cancel()
        line.run_id = run_id
        self._live[run_id] = line
        if run_id in self._stops:
            line.send(self._stops.pop(run_id))
        self._watch(line, run_id)

    def _dismiss(self, run_id: str) -> None:
        """End a run that no job knows: its database is gone."""
        line = self._strangers.pop(run_id, None)
        if line and line in self._lines:
            log.warning("ending run %s, which belongs to no job", run_id)
            line.send({"stop": run_id, "cause": "cancel", "signal": _SIGTERM, "grace": 2.0})

    def _refused(self, line: ShimLine, run_id: str, error: str | None) -> None:
        """A shim could not claim a run, for want of disk or because somebody else had."""
        line.run_id = None
        self._live.pop(run_id, None)
        if error is None:
            self.adopt(run_id)
        else:
            self._ended(run_id)
            self._observer.run_refused(run_id, error)
        self._rest(line)

    def _rest(self, line: ShimLine) -> None:
        if self._waiting:
            self._give(line, self._waiting.popleft())
        elif len(self._idle) < self._max_idle:
            self._idle.append(line)
        else:
            line.close()

    def _give(self, line: ShimLine, order: protocol.Message) -> None:
        run_id: str = order["run"]
        line.run_id = run_id
        line.is_over = line.reusable = False
        self._live[run_id] = line
        line.send(order)
        if run_id in self._stops:
            line.send(self._stops.pop(run_id))
        self._watch(line, run_id)

    async def _investigate(self, run_id: str) -> None:
        """Look at a run without a line until it is clear what became of it."""
        pause = 0.005
        while True:
            try:
                facts = run_directory.facts_of(self._directory(run_id))
            except OSError as error:
                log.warning("cannot look into run %s: %s", run_id, error)
                facts = RunFacts(hold=Hold.SHIM)
            if facts.hold is not Hold.SHIM:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if facts.started and facts.exit is None:
            hit = await asyncio.to_thread(sweep, run_id)
            log.warning("run %s lost its shim; %d of its processes were ended", run_id, hit)
        self._orphans.pop(run_id, None)
        self._ended(run_id)
        self._observer.run_found(run_id, facts)

    def _printed(self, run_id: str) -> None:
        """Wake those who wait for what there is now; the news may be older than their waiting."""
        counts = self.progress(run_id)
        for after, news in self._watchers.get(run_id, ()):
            if not news.done() and (counts is None or counts.last_sequence > after):
                news.set_result(None)

    def _ended(self, run_id: str) -> None:
        for _, news in self._watchers.pop(run_id, ()):
            if not news.done():
                news.set_result(None)

    def _directory(self, run_id: str) -> str:
        return f"{self._runs}/{run_id}"
