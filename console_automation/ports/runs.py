"""Who holds runs, who is told of them, and where their output is."""

from collections.abc import Mapping
from typing import Protocol

from console_automation.core.job import (
    Channel,
    Command,
    Exit,
    OutputCounts,
    TerminalSize,
)
from console_automation.core.output import Page
from console_automation.core.recovery import RunFacts


class RunObserver(Protocol):
    """Who is told what becomes of runs. Called on the event loop; must not block."""

    def run_started(self, run_id: str, *, pid: int, at: float) -> None:
        """The command was spawned. May be told again after a restart, or not at all."""
        ...

    def run_exited(self, run_id: str, exit: Exit) -> None:
        """The run is over and its output complete. May be told again until it is confirmed."""
        ...

    def run_found(self, run_id: str, facts: RunFacts) -> None:
        """The run has no live shim: these facts are all there will be."""
        ...

    def run_refused(self, run_id: str, error: str) -> None:
        """The run could not be begun for want of a resource; nothing was spawned."""
        ...

    def shim_failed(self, error: str) -> None:
        """The machinery under the runs broke down and is being restored."""
        ...


class RunHost(Protocol):
    """Whatever can hold runs. A run begins at most once per id, whatever crashes."""

    async def open(self, observer: RunObserver) -> None:
        """Get ready to start runs."""
        ...

    async def close(self) -> None:
        """Let go of all runs; live ones go on. Idempotent."""
        ...

    def start(self, run_id: str, command: Command, *, before: OutputCounts) -> None:
        """Begin a run of a command; the observer hears the rest.

        `before` is what earlier runs of the same job have printed: its numbering goes on from there.
        """
        ...

    def adopt(self, run_id: str) -> None:
        """Take up a run that an earlier process started; the observer hears what became of it."""
        ...

    def stop(self, run_id: str, *, signal: int, grace: float) -> None:
        """End a run with everything it started; the exit says `cancel` if this ended it."""
        ...

    def confirm(self, run_id: str, *, discard: bool) -> None:
        """The run's end is committed; `discard` when its directory may go at once."""
        ...

    def discard(self, run_id: str) -> None:
        """Delete what is left of an ended run; an unknown id is no error."""
        ...

    async def send_input(self, run_id: str, text: str, *, eof: bool) -> int:
        """Write to the run's stdin or terminal and return the bytes accepted, maybe not all.

        Raises Conflict when stdin is not open, Unavailable when the shim does not answer.
        """
        ...

    async def resize(self, run_id: str, size: TerminalSize) -> None:
        """Change the size of the run's terminal. Raises Unavailable when the shim does not answer."""
        ...

    async def wait_for_output(self, run_id: str, *, after: int) -> None:
        """Return when there is output beyond a sequence number, or the run is over."""
        ...

    def report(
        self, run_id: str, channel: Channel, *, since: int = 0, max_bytes: int = 1 << 20
    ) -> bytes | None:
        """Return what a run's program has written to one of the files it is given for that, from a
        byte on; None when there is no such file."""
        ...

    def progress(self, run_id: str) -> OutputCounts | None:
        """Return how much a live run has printed so far, None when that is not known."""
        ...

    @property
    def capacity(self) -> Mapping[str, int]:
        """Return figures about the machinery, for metrics: idle and live shims."""
        ...


class OutputLog(Protocol):
    """What runs printed, as far as it is retained."""

    def read(
        self, run_id: str, *, since: int, max_bytes: int, max_chunks: int, stream: str | None
    ) -> Page:
        """Return the chunks after a sequence number; at least one if there is any."""
        ...

    def read_end(self, run_id: str, *, max_bytes: int, stream: str | None) -> Page:
        """Return the newest chunks."""
        ...
