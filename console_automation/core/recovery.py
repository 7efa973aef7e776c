"""What became of a run while nobody looked: a pure function of its holder's row and the run's facts.

Unknown is a value. Where neither an exit record nor a live shim is left, the end is not known; an
exit code is never guessed and a stored pid never asked.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from console_automation.core.job import Exit, OutputCounts, Reason
from console_automation.core.lifecycle import Exited, Lost, NotStarted, RunEvent


class Hold(StrEnum):
    """Who holds the lock on the run's state, which is what being alive means."""

    SHIM = "shim"  #: a live shim owns the run
    NOBODY = "nobody"  #: the run has no owner
    FENCED = "fenced"  #: the run never began and no shim can begin it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the run directory says."""

    hold: Hold
    started: bool = False  #: a start record is there, so the command may have been spawned
    exit: Exit | None = None
    output: OutputCounts | None = None  #: the last progress on record


class Holder(Protocol):
    """What a run was begun for: a job or a session."""

    @property
    def run_id(self) -> str | None: ...
    @property
    def boot_id(self) -> str | None: ...
    @property
    def pid(self) -> int | None: ...


def verdict(holder: Holder, facts: RunFacts, *, boot_id: str, now: float) -> RunEvent | None:
    """Return what has happened to the holder's live run, None when its shim is alive and will tell.

    After a reboot a run without a start record may still have been spawned: the record was not
    forced to the disk, because the job's row was. So only a fence set under the same boot proves
    that the run never began.
    """
    assert holder.run_id is not None
    if facts.exit is not None:
        return Exited(at=now, run_id=holder.run_id, exit=facts.exit)
    if facts.hold is Hold.SHIM:
        return None
    if holder.boot_id != boot_id:
        return Lost(at=now, run_id=holder.run_id, reason=Reason.REBOOT, output=facts.output)
    if facts.hold is Hold.FENCED and not facts.started and holder.pid is None:
        return NotStarted(at=now, run_id=holder.run_id)
    return Lost(at=now, run_id=holder.run_id, reason=Reason.LOST, output=facts.output)
