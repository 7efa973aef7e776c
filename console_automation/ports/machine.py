"""What the engine needs of the machine: time, processes, load, and somebody who draws screens."""

from dataclasses import dataclass
from typing import Protocol

from console_automation.core.screen import ScreenSnapshot


class Clock(Protocol):
    """The time, and which boot of the machine it belongs to."""

    boot_id: str

    def now(self) -> float:
        """Return epoch seconds."""
        ...


class Emulator(Protocol):
    """A terminal that draws what is printed to it."""

    def feed(self, data: bytes) -> None:
        """Take output, cut anywhere. Never raises."""
        ...

    def resize(self, cols: int, rows: int) -> None:
        """Change its size."""
        ...

    def snapshot(self) -> ScreenSnapshot:
        """Return what it shows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreground:
    """The program that a terminal's input goes to."""

    pid: int
    command: str  #: "" when it has just ended
    is_waiting: bool | None  #: for input, as far as the system tells; None: it does not


class ProcessTable(Protocol):
    """What the system tells of running processes."""

    def foreground(self, pid: int) -> Foreground | None:
        """Return the program in the foreground of a process's terminal, None when not known."""
        ...

    def directory(self, pid: int) -> str | None:
        """Return a process's working directory, None when not known."""
        ...


class LoadGauge(Protocol):
    """How busy the machine is."""

    def load_per_cpu(self) -> float:
        """Return the one-minute load average over the number of processors."""
        ...

    def memory_percent(self) -> float:
        """Return the share of memory in use, 0 to 100."""
        ...
