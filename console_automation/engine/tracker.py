"""What a session's output tells: which command runs, whether the shell is at its prompt, which modes
the terminal is in.

The output is the only source, so whoever comes later (a client, the next daemon) finds the same.
"""

import asyncio
from dataclasses import dataclass, field, replace

from console_automation.core.input_modes import InputModes
from console_automation.core.marks import MarkKind, find_marks
from console_automation.core.output import Chunk
from console_automation.core.session import SessionCommand
from console_automation.ports.runs import OutputLog, RunHost

_PAGE_BYTES = 1 << 20
_PAGE_CHUNKS = 1 << 14
_LONGEST_TAIL = 3  # bytes of a UTF-8 character after its first
_INLINE_CHUNKS = 256  # following so few takes less than a thread does


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What was typed last, after which chunk, and whether its shell marks where its output begins."""

    since: int
    text: str
    marked: bool


@dataclass(eq=False)
class Execution:
    """A command in a session while its end is awaited, and the end of what it has printed."""

    command: SessionCommand
    kept: int  #: bytes of output held at most
    output: bytearray = field(default_factory=bytearray)
    printed: int = 0
    has_gap: bool = False  #: output is missing in which its beginning or its end may have been
    is_interrupted: bool = False  #: ctrl+c was pressed
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_begun(self) -> bool:
        return self.command.began_at is not None

    @property
    def is_over(self) -> bool:
        return self.command.ended_at is not None

    @property
    def is_on_its_way(self) -> bool:
        """Whether it was typed and has not begun, nor may have begun in output that is missing."""
        return not (self.has_begun or self.has_gap or self.is_over)

    @property
    def may_have_ended(self) -> bool:
        """Whether its end may be in output that is missing. At ctrl+c the terminal throws away what was
        printed and not read yet."""
        return self.has_gap or (self.has_begun and self.is_interrupted)

    @property
    def shown(self) -> bytes:
        """The output that is held, from the first whole character on."""
        cut = 0
        if self.printed > len(self.output):
            while cut < _LONGEST_TAIL and self.output[cut : cut + 1] and self.output[cut] >> 6 == 2:
                cut += 1
        return bytes(self.output[cut:])

    def take(self, data: bytes) -> None:
        """Add what it has printed."""
        self.printed += len(data)
        self.output += data[-self.kept :]
        del self.output[: -self.kept]


class Tracker:
    """Follows one session. Everything is as of the chunk `cursor`."""

    def __init__(self, run_id: str, log: OutputLog, host: RunHost) -> None:
        self._run_id = run_id
        self._log = log
        self._host = host
        self._lock = asyncio.Lock()
        self.cursor = 0
        self.modes = InputModes()
        self.at_prompt = False
        self.has_prompted = False
        self.is_between = False  #: a command has ended, and the prompt is about to be shown
        self.shell: str | None = None  #: the kind of shell, as its prompt mark names it
        self.execution: Execution | None = None  #: the command that was typed last

    @property
    def is_executing(self) -> bool:
        """Whether a command runs: one of ours, or one that somebody typed by hand."""
        return (self.execution is not None and not self.execution.is_over) or (
            self.has_prompted and not self.at_prompt
        )

    @property
    def has_read(self) -> bool:
        """Whether the shell has begun to read what was typed last, so that it waits for more when it waits.

        What is typed before it does would come upon a terminal whose modes are about to change: a line
        that ends for the shell would be one without an end for the command.
        """
        execution = self.execution
        return (
            execution is None
            or execution.is_over
            or execution.has_begun
            or self.cursor > execution.command.since
        )

    async def catch_up(self) -> None:
        """Follow the output to its end as it is now: a program may print faster than this reads."""
        counts = self._host.progress(self._run_id)
        is_little = counts is not None and counts.last_sequence - self.cursor <= _INLINE_CHUNKS
        if is_little and not self._lock.locked():
            self._catch_up()
        else:
            # A task of its own: a thread goes on when whoever waits for it gives up, and the next one
            # must not follow the same output beside it.
            await asyncio.shield(asyncio.create_task(self._catch_up_in_a_thread()))

    async def _catch_up_in_a_thread(self) -> None:
        async with self._lock:
            await asyncio.to_thread(self._catch_up)

    def _catch_up(self) -> None:
        counts = self._host.progress(self._run_id)
        has_more = True
        while has_more and not (counts and self.cursor >= counts.last_sequence):
            page = self._log.read(
                self._run_id,
                since=self.cursor,
                max_bytes=_PAGE_BYTES,
                max_chunks=_PAGE_CHUNKS,
                stream=None,
            )
            for chunk in page.chunks:
                self._take(chunk)
            self.cursor, has_more = max(self.cursor, page.next_since), page.has_more
        if counts and counts.last_sequence > self.cursor:
            self._skip(counts.last_sequence)  # printed, but the disk was full

    def _skip(self, last: int) -> None:
        """Note that what was printed up to a chunk is lost."""
        execution = self.execution
        if execution and not execution.is_over and last > execution.command.since:
            execution.has_gap = True
        self.cursor = last

    def _take(self, chunk: Chunk) -> None:
        """Note the marks of a chunk; none is ever cut in two by the end of one."""
        if chunk.sequence > self.cursor + 1:
            self._skip(chunk.sequence - 1)
        self.cursor = chunk.sequence
        self.modes.feed(chunk.data)
        at = 0
        for mark in find_marks(chunk.data):
            self._print(chunk.data[at : mark.start])
            at = mark.end
            execution = self.execution
            is_its_own = execution is not None and mark.command_id == execution.command.id
            self.is_between = is_its_own and mark.kind is MarkKind.END
            if mark.kind is MarkKind.PROMPT:
                self.at_prompt = self.has_prompted = True
                if execution and execution.may_have_ended and not execution.is_over:
                    execution.command = execution.command.ended(
                        at=chunk.at, exit_code=None, until=chunk.sequence
                    )
                self.shell = mark.shell
            elif mark.kind is MarkKind.BEGIN:
                self.at_prompt = False
                if execution and is_its_own and not execution.has_begun:
                    execution.command = replace(execution.command, began_at=chunk.at)
            elif execution and is_its_own and not execution.is_over:
                execution.command = execution.command.ended(
                    at=chunk.at, exit_code=mark.exit_code, until=chunk.sequence
                )
        self._print(chunk.data[at:])

    def _print(self, data: bytes) -> None:
        if self.execution and self.execution.has_begun and not self.execution.is_over:
            self.execution.take(data)
