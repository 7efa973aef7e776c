"""Commands in sessions: typed into the shell, followed to their true end by the marks it emits."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable

from console_automation.config import Settings
from console_automation.core.session import Closing, Session, SessionCommand
from console_automation.core.shells import ShellKind, interrupts, typed
from console_automation.core.text import one_line
from console_automation.engine.tracker import Execution, Tracker
from console_automation.errors import Conflict, ConsoleAutomationError, Unavailable
from console_automation.ports.machine import Clock
from console_automation.ports.runs import OutputLog, RunHost
from console_automation.ports.stores import SessionStore

log = logging.getLogger(__name__)

_CLEAR_LINE = "\x15"  # ctrl+u: what somebody left half typed is not part of the command
_PROMPT_SECONDS = 2.0
_UNHEARD_SECONDS = 1.0
_SHOWN = 60
Listener = Callable[[SessionCommand], None]


class Executions:
    """Keeps a tracker for every session that somebody has asked about."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: SessionStore,
        host: RunHost,
        log: OutputLog,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._host = host
        self._log = log
        self._clock = clock
        self._trackers: dict[str, Tracker] = {}
        self._typing: set[str] = set()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have the end of every command told, once."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Follow nothing any more."""
        for task in self._followers.values():
            task.cancel()

    async def tracker(self, session: Session) -> Tracker:
        """Return what is known of a session, up to date."""
        tracker = self._trackers.get(session.id)
        if tracker is None:
            tracker = Tracker(session.run_id, self._log, self._host)
            self._trackers[session.id] = tracker
        await tracker.catch_up()
        return tracker

    def forget(self, session_id: str) -> None:
        """Let go of a session that is closed."""
        self._trackers.pop(session_id, None)

    async def execute(self, session: Session, line: str, *, asked: str | None = None) -> Execution:
        """Type a command and return it while it runs.

        `asked` is what is put on record, when the line holds more than that: values of variables.
        Raises Conflict, Unavailable.
        """
        if session.id in self._typing:
            raise Conflict(
                f"Session {session.id} is being given another command at this moment; one at a"
                " time.",
                sessionId=session.id,
            )
        self._typing.add(session.id)
        try:
            return await self._execute(session, line, asked or line)
        finally:
            self._typing.discard(session.id)

    async def _execute(self, session: Session, line: str, asked: str) -> Execution:
        tracker = await self.at_rest(session)
        _check_free(session, tracker)
        kind = _kind(session, tracker)
        command = SessionCommand(
            id=secrets.token_hex(8),
            session_id=session.id,
            line=asked,
            typed_at=self._clock.now(),
            since=tracker.cursor,
        )
        await asyncio.shield(self._store.save_command(command))
        execution = self._expect(tracker, command)
        tracker.at_prompt = False
        text = typed(kind, line, command.id, bracketed=tracker.modes.bracketed_paste)
        try:
            await self._type(session, _CLEAR_LINE + text)
        except ConsoleAutomationError:
            tracker.at_prompt = True  # should it have been typed all the same, its mark says so
            await self._settle(execution, exit_code=None)
            raise
        self._follow(session, tracker)
        return execution

    async def _type(self, session: Session, text: str) -> None:
        accepted = await self._host.send_input(session.run_id, text, eof=False)
        if accepted < len(text.encode()):
            raise Unavailable(
                f"Session {session.id} does not read its input: the queue is full. Empty it with"
                " console_send_key ctrl+c, then look at console_get_screen.",
                sessionId=session.id,
            )

    def _expect(self, tracker: Tracker, command: SessionCommand) -> Execution:
        kept = self._settings.output_page_bytes
        tracker.execution = Execution(command, kept=kept)
        return tracker.execution

    # -- ends --------------------------------------------------------------------------------

    def _follow(self, session: Session, tracker: Tracker) -> None:
        """Follow a session until the command in it is over; whoever waits need not."""
        if session.id not in self._followers:
            task = asyncio.create_task(self._follow_output(session, tracker))
            self._followers[session.id] = task
            task.add_done_callback(lambda _: self._followers.pop(session.id, None))

    async def _follow_output(self, session: Session, tracker: Tracker) -> None:
        """Follow a session, and settle its command when that is over, or was lost on its way, as by an
        interrupt while it was being typed.

        The shell is at its prompt again then, and stays there: a prompt that is only drawn anew is
        soon followed by the command.
        """
        while (execution := tracker.execution) and not execution.settled.is_set():
            if execution.is_over:
                await self._settle(execution)
                continue
            may_be_lost = tracker.at_prompt and execution.is_on_its_way
            try:
                timeout = _PROMPT_SECONDS if may_be_lost else None
                if not await self._news(session, tracker, timeout=timeout):
                    return  # the session is over: its end settles the command
            except TimeoutError:
                await self._settle(execution, exit_code=None)

    def interrupt(self, session_id: str) -> Execution | None:
        """Note that ctrl+c is about to be pressed; return the command whose first that is."""
        tracker = self._trackers.get(session_id)
        execution = tracker.execution if tracker else None
        if execution is None or execution.is_interrupted:
            return None
        execution.is_interrupted = True
        return execution

    async def interrupted(self, session: Session, execution: Execution) -> None:
        """Interrupt again where that was not heard, as long as the command has not begun. One whose
        beginning may be lost is let be.

        The terminal throws away what was typed, but a shell that is about to wait for its first key may
        note the signal and go on waiting (bash does until 5.2 at least): nothing would ever come of the
        command.
        """
        tracker = await self.tracker(session)
        for keys in itertools.cycle(interrupts(shell_of(session, tracker))):
            try:
                while execution.is_on_its_way and not tracker.at_prompt:
                    if not await self._news(session, tracker, timeout=_UNHEARD_SECONDS):
                        break  # the session is over
                return
            except TimeoutError:
                await self._press(session, keys)

    async def _press(self, session: Session, keys: str) -> None:
        """Type keys, if anybody takes them: the session may be over by now, or its shim silent."""
        try:
            await self._host.send_input(session.run_id, keys, eof=False)
        except ConsoleAutomationError:
            pass

    async def _news(
        self, session: Session, tracker: Tracker, *, timeout: float | None = None
    ) -> bool:
        """Wait for more output and follow it; False when there will be none.

        Raises TimeoutError when there was none for so long.
        """
        before = tracker.cursor
        await tracker.catch_up()
        if tracker.cursor == before:
            try:
                async with asyncio.timeout(timeout):
                    await self._host.wait_for_output(session.run_id, after=before)
            except TimeoutError:
                await tracker.catch_up()  # a daemon that was held up has not heard of what there is
                if tracker.cursor == before:
                    raise
            else:
                await tracker.catch_up()
        return tracker.cursor > before

    async def at_rest(self, session: Session) -> Tracker:
        """Return what is known of a session, not between a command's end and the next prompt: some
        milliseconds in which nothing runs and nothing can be typed."""
        tracker = await self.tracker(session)
        if tracker.is_between:
            await self.prompt(session, timeout=_PROMPT_SECONDS)
        return tracker

    async def prompt(self, session: Session, *, timeout: float) -> Tracker:
        """Return when the shell shows its prompt, the session is over, or the time is up."""
        tracker = await self.tracker(session)
        try:
            async with asyncio.timeout(timeout):
                while not tracker.at_prompt and await self._news(session, tracker):
                    pass
        except TimeoutError:
            await tracker.catch_up()  # as in _news
        return tracker

    async def heard_out(self, session: Session) -> Tracker:
        """Return what is known of a session once all that it has printed by now has been heard, as of a
        shell that waits: at a prompt, perhaps, that is on its way here. A shim reads before it answers.
        """
        await self._press(session, "")
        return await self.tracker(session)

    async def resume(
        self, session: Session, command: SessionCommand, *, is_latest: bool = True
    ) -> None:
        """Take up a command that was typed before the last restart.

        One that has not begun by now may have been typed or not: its end is not known. Where it
        would have begun in output that is lost, it is followed to its end or to the next prompt.
        """
        tracker = Tracker(session.run_id, self._log, self._host)
        if is_latest:
            self._trackers[session.id] = tracker
        execution = self._expect(tracker, command)
        await tracker.catch_up()
        if execution.is_over:
            await self._settle(execution)
        elif not is_latest:
            await self._settle(execution, exit_code=None)  # another was typed after its end
        elif session.is_terminal:
            await self.session_closed(session)
        elif execution.is_on_its_way:
            await self._settle(execution, exit_code=None)
        else:
            self._follow(session, tracker)

    async def session_closed(self, session: Session) -> None:
        """Settle the command that was in it. `exit` and `exec` end the session: theirs is its code."""
        tracker = self._trackers.pop(session.id, None)
        execution = tracker.execution if tracker else None
        if tracker is None or execution is None or execution.settled.is_set():
            return
        await tracker.catch_up()
        if execution.is_over:
            await self._settle(execution)
        else:
            by_it = session.closing is Closing.EXITED and execution.has_begun
            code = session.exit.code if by_it and session.exit else None
            await self._settle(execution, exit_code=code, at=session.closed_at)

    async def _settle(
        self, execution: Execution, *, exit_code: int | None = None, at: float | None = None
    ) -> None:
        """Put the end of a command on record; waiters are told even when that fails."""
        if not execution.is_over:
            execution.command = execution.command.ended(
                at=at or self._clock.now(), exit_code=exit_code, until=execution.command.since
            )
        if execution.settled.is_set():
            return
        try:
            await asyncio.shield(self._store.save_command(execution.command))
        except ConsoleAutomationError as error:
            log.error("the end of command %s was not saved: %s", execution.command.id, error)
        if not execution.settled.is_set():
            execution.settled.set()
            self._tell(execution.command)

    def _tell(self, command: SessionCommand) -> None:
        for listener in self._listeners:
            try:
                listener(command)
            except Exception:
                log.exception("a listener failed for command %s", command.id)


def shell_of(session: Session, tracker: Tracker) -> ShellKind | None:
    """Return the kind of shell in a session. What a prompt's mark says counts where it was left to the
    other machine, and for a bash that was started as sh: anybody can print such a mark."""
    told = ShellKind(tracker.shell) if tracker.shell else None
    asked = session.spec.shell
    is_free = asked is None and session.spec.host is not None
    return told if is_free or (asked, told) == (ShellKind.BASH, ShellKind.SH) else asked


def _kind(session: Session, tracker: Tracker) -> ShellKind:
    """Return how to type into the session. Raises Conflict when nothing can be typed now."""
    kind = shell_of(session, tracker)
    if kind is None and session.spec.host is None:
        raise Conflict(
            f"Session {session.id} runs {one_line(session.spec.command.line, _SHOWN)}, which is no"
            " shell that reports exit codes. Use console_send_input, then console_wait_for_output.",
            sessionId=session.id,
        )
    if kind is None or not tracker.has_prompted:
        raise Conflict(
            f"The shell in session {session.id} has not shown a prompt yet. Look at"
            " console_get_screen; it may wait for an answer.",
            sessionId=session.id,
        )
    return kind


def _check_free(session: Session, tracker: Tracker) -> None:
    if not tracker.is_executing:
        return
    running = tracker.execution
    if running is None or running.is_over:
        raise occupied(session)
    what = f"Command {running.command.id} ({one_line(running.command.line, _SHOWN)})"
    raise occupied(session, what, commandId=running.command.id)


def occupied(
    session: Session, what: str = "Something that was typed by hand", **details: str
) -> Conflict:
    """Return the error for a session in which something runs that did not end yet."""
    return Conflict(
        f"{what} is still running in session {session.id}. Wait with console_get_session_state"
        " waitMs, feed it with console_send_input, or interrupt it with console_send_key ctrl+c. A"
        " shell that has replaced the first one (exec) tells nothing: open another session.",
        sessionId=session.id,
        **details,
    )
