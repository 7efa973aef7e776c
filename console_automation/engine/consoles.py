"""The ConsoleManager: opens sessions, keeps them within their cap, and knows what became of them.

As with jobs, what happens to a session is an event, and `_apply` is the one way to change it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence

from console_automation.config import Settings
from console_automation.core import recovery, session
from console_automation.core.job import Cause, Exit, OutputCounts, TerminalSize
from console_automation.core.lifecycle import Effect, Event, Exited, Started, StopRun
from console_automation.core.output import text_of
from console_automation.core.recovery import RunFacts
from console_automation.core.session import (
    Close,
    Disconnected,
    Resized,
    Session,
    SessionPhase,
    SessionSpec,
    StopRequested,
)
from console_automation.core.shells import INTERRUPT
from console_automation.core.ssh import SshEnd, ssh_ended
from console_automation.core.text import signal_name
from console_automation.engine.executions import Executions
from console_automation.engine.feed import Feed
from console_automation.engine.tracker import Typed
from console_automation.engine.waiters import Waiters
from console_automation.errors import (
    LimitReached,
    SessionClosed,
    SessionNotFound,
)
from console_automation.ports.machine import Clock
from console_automation.ports.runs import OutputLog, RunHost
from console_automation.ports.stores import SessionStore

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_SSH_TAIL = 4096
_HANG_UP, _KILL = 1, 9  # an interactive shell ignores SIGTERM


def session_closed(each: Session) -> SessionClosed:
    """Return the error for what a closed session cannot do, saying how it ended."""
    code = each.exit.code if each.exit else None
    number = each.exit.signal if each.exit else None
    how = f"{each.closing}" + (f", exit code {code}" if code is not None else "")
    if number is not None:
        how += f", by {signal_name(number)}"
    why = f" {each.error}" if each.error else " console_create_session opens another."
    return SessionClosed(
        f"Session {each.id} is closed ({how}). Its output can still be read with"
        f" console_get_output.{why}",
        sessionId=each.id,
        closing=each.closing,
        exitCode=code,
    )


class ConsoleManager:
    """The engine's public face for sessions, and the RunObserver of their runs."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: SessionStore,
        host: RunHost,
        output: OutputLog,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self.settings = settings
        self.store = store
        self.host = host
        self.changes = Waiters()  #: for any step in a session's life
        self.executions = Executions(
            settings=settings, store=store, host=host, log=output, clock=clock
        )
        self._output = output
        self._clock = clock
        self._new_id = new_id
        self._live: dict[str, Session] = {}
        self.feed: Feed[Session] = Feed()
        self._inputs: dict[str, Typed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up every session that is not closed, and what was running in them."""
        for each in await self.store.live():
            self._live[each.id] = each
            self.host.adopt(each.run_id)
            if each.phase is SessionPhase.CLOSING:
                self.host.stop(each.run_id, signal=_HANG_UP, grace=each.spec.command.grace)
        running = await self.store.running_commands()
        latest = {command.session_id: command for command in running}
        for command in running:
            owner = await self.find(command.session_id)
            is_latest = latest[command.session_id] is command
            if owner:
                self._do(self.executions.resume(owner, command, is_latest=is_latest))

    async def close(self) -> None:
        """Let go: sessions stay open under their shims."""
        self.executions.close()
        for task in self._tasks:
            task.cancel()

    async def stop_all(self, *, grace: float) -> None:
        """Close every session and return when they are gone."""
        await asyncio.gather(
            *(self.stop(each.id, force=False, grace=grace) for each in list(self._live.values()))
        )

    # -- what clients ask --------------------------------------------------------------------

    async def create(self, spec: SessionSpec) -> Session:
        """Open a session; when this returns it is on the disk and its program is being started.

        Raises LimitReached when too many are open, Unavailable when it cannot be stored.
        """
        most = self.settings.max_sessions
        if len(self._live) >= most:
            raise LimitReached(
                f"{most} sessions are open, which is the limit (setting max_sessions). Close one"
                " with console_stop_session, or console_cleanup_sessions with inactive."
            )
        born = session.new_session(self._new_id(), spec, boot_id=self._clock.boot_id)
        self._live[born.id] = born
        # A task of its own: a session is seen through when whoever asked for it gives up.
        await asyncio.shield(self._do(self._begin(born)))
        return born

    async def _begin(self, born: Session) -> None:
        try:
            await asyncio.shield(self.store.save(born))
        except BaseException:
            del self._live[born.id]
            raise
        self.host.start(born.run_id, born.spec.command, before=OutputCounts())
        self._tell(born)

    async def find(self, session_id: str) -> Session | None:
        """Return a session, None when there is none of that id."""
        return self._live.get(session_id) or await self.store.get(session_id)

    async def get(self, session_id: str) -> Session:
        """Return a session. Raises SessionNotFound."""
        found = await self.find(session_id)
        if found is None:
            raise SessionNotFound(session_id)
        return found

    async def get_live(self, session_id: str) -> Session:
        """Return a session that is not closed. Raises SessionNotFound, SessionClosed."""
        found = await self.get(session_id)
        if found.is_terminal:
            raise session_closed(found)
        return found

    async def latest(self, *, limit: int) -> list[Session]:
        """Return sessions, newest first."""
        return [self._live.get(each.id, each) for each in await self.store.latest(limit=limit)]

    @property
    def live(self) -> Sequence[Session]:
        """The sessions that are not closed."""
        return list(self._live.values())

    async def opened(self, session_id: str, *, timeout: float) -> Session:
        """Return the session when it is no longer opening, or the time is up."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + timeout
        while (each := await self.get(session_id)).phase is SessionPhase.OPENING:
            left = limit - loop.time()
            if left <= 0:
                break
            await self.changes.wait([session_id], enough=1, timeout=left)
        return each

    async def send(self, session_id: str, text: str) -> int:
        """Type text and return the bytes accepted, which may be fewer than given.

        Raises SessionNotFound, SessionClosed, Unavailable.
        """
        each = await self.get_live(session_id)
        execution = self.executions.interrupt(session_id) if INTERRUPT in text else None
        accepted = await self.host.send_input(each.run_id, text, eof=False)
        if execution is not None:
            self._do(self.executions.interrupted(each, execution))
        return accepted

    def note_input(self, session_id: str, typed: Typed) -> None:
        """Remember what was typed last."""
        if session_id in self._live:
            self._inputs[session_id] = typed

    def last_input(self, session_id: str) -> Typed | None:
        """Return what was typed last, None when not known."""
        return self._inputs.get(session_id)

    async def resize(self, session_id: str, size: TerminalSize) -> Session:
        """Change the terminal's size. Raises SessionNotFound, SessionClosed, Unavailable."""
        each = await self.get_live(session_id)
        if size != each.size:
            at = self._clock.now()  # before: the program draws anew while the host still answers
            await self.host.resize(each.run_id, size)
            if session_id in self._live:  # it may have ended meanwhile
                self._apply(session_id, Resized(at=at, size=size))
        return await self.get(session_id)

    async def stop(self, session_id: str, *, force: bool, grace: float) -> Session:
        """Close a session with everything in it; return when it is gone, or nearly.

        Raises SessionNotFound. A closed session is left as it is.
        """
        each = await self.get(session_id)
        if each.is_terminal:
            return each
        grace = 0.0 if force else grace
        number = _KILL if force else _HANG_UP
        self._apply(session_id, StopRequested(at=self._clock.now(), signal=number, grace=grace))
        loop = asyncio.get_running_loop()
        limit = loop.time() + grace + 2.0
        while not (each := await self.get(session_id)).is_terminal and loop.time() < limit:
            await self.changes.wait([session_id], enough=1, timeout=limit - loop.time())
        return each

    def last_activity(self, each: Session) -> float:
        """Return when something was printed last, or when it was opened."""
        page = self._output.read_end(each.run_id, max_bytes=1, stream=None)
        return max([each.opened_at or each.spec.created_at, *(chunk.at for chunk in page.chunks)])

    async def delete(self, closed: Session) -> None:
        """Forget a closed session with its output."""
        self.host.discard(closed.run_id)
        self.executions.forget(closed.id)
        self._inputs.pop(closed.id, None)
        await self.store.delete(closed.id)

    # -- what runs tell ----------------------------------------------------------------------

    def run_started(self, run_id: str, *, pid: int, at: float) -> None:
        """The program was started."""
        each = self._holder(run_id)
        if each and each.pid != pid and each.phase is not SessionPhase.OPEN:
            self._apply(each.id, Started(at=at, run_id=run_id, pid=pid))

    def run_exited(self, run_id: str, exit: Exit) -> None:
        """The program has ended, and its output is complete."""
        each = self._holder(run_id)
        if each is None:
            self.host.confirm(run_id, discard=False)
            return
        ended = Exited(at=self._clock.now(), run_id=run_id, exit=exit)
        if each.spec.host is not None and exit.cause is Cause.EXIT:
            ended = self._of_ssh(each, ended)
        self._apply(each.id, ended)

    def run_found(self, run_id: str, facts: RunFacts) -> None:
        """The run has no live shim: conclude what became of it."""
        each = self._holder(run_id)
        if each is None:
            return
        if facts.exit is not None:
            self.run_exited(run_id, facts.exit)
            return
        now = self._clock.now()
        event = recovery.verdict(each, facts, boot_id=self._clock.boot_id, now=now)
        if event is not None:
            self._apply(each.id, event)

    def run_refused(self, run_id: str, error: str) -> None:
        """The run could not be begun."""
        now = self._clock.now()
        self.run_exited(run_id, Exit(cause=Cause.SPAWN_ERROR, error=error, ended_at=now))

    def shim_failed(self, error: str) -> None:
        """The host has repaired itself; the jobs' observer counts it."""

    def _holder(self, run_id: str) -> Session | None:
        return self._live.get(run_id.rpartition(".")[0])

    def _of_ssh(self, each: Session, ended: Exited) -> Exited:
        """Tell the end of the connection from that of the program at its other end."""
        page = self._output.read_end(each.run_id, max_bytes=_SSH_TAIL, stream=None)
        end = ssh_ended(ended.exit.code, text_of(page.chunks))
        if end is SshEnd.EXITED:
            return ended
        why = f"ssh: {end.value}. {end.advice}"
        return Disconnected(at=ended.at, run_id=ended.run_id, exit=ended.exit, why=why)

    # -- changing ----------------------------------------------------------------------------

    def _apply(self, session_id: str, event: Event) -> None:
        """Advance a session and commit it. What happened stays true when the commit fails."""
        after, effects = session.advance(self._live[session_id], event)
        self._live[session_id] = after
        self._save(after)
        for effect in effects:
            self._carry_out(after, effect)
        if not after.is_terminal:
            self._tell(after)

    def _carry_out(self, each: Session, effect: Effect) -> None:
        match effect:
            case StopRun():
                self.host.stop(each.run_id, signal=effect.signal, grace=effect.grace)
            case Close():
                self._do(self.executions.session_closed(each))

    def _save(self, each: Session) -> None:
        loop = asyncio.get_running_loop()

        def done(saved: "asyncio.Future[None]") -> None:
            if saved.cancelled():
                return
            error = saved.exception()
            if error is None and each.is_terminal:
                self._retire(each)
            elif error is not None and self._live.get(each.id) is each:
                log.error("session %s could not be saved, will try again: %s", each.id, error)
                loop.call_later(_RETRY_SECONDS, self._save, each)

        self.store.save(each).add_done_callback(done)

    def _retire(self, closed: Session) -> None:
        """A closed session is on the disk: nothing of it is needed in memory."""
        if self._live.pop(closed.id, None) is not None:
            self._inputs.pop(closed.id, None)
            self.host.confirm(closed.run_id, discard=False)
            self._tell(closed)

    def _tell(self, each: Session) -> None:
        self.changes.tell(each.id)
        self.feed.publish(each, about=each.id)

    def _do(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("work for a session failed: %s", error, exc_info=error)
