"""What runs tell, turned into events of their jobs."""

import logging
from collections.abc import Callable
from dataclasses import replace

from console_automation.core import recovery
from console_automation.core.job import Exit, Job
from console_automation.core.lifecycle import Event, Exited, NotStarted, Started
from console_automation.core.recovery import RunFacts
from console_automation.engine.dispatcher import Dispatcher
from console_automation.engine.ledger import Ledger
from console_automation.engine.reports import Reports
from console_automation.ports.machine import Clock
from console_automation.ports.runs import RunObserver
from console_automation.ports.stores import Entry

log = logging.getLogger(__name__)


class RunOwners:
    """The RunObserver that the host talks to: it passes everything on to whoever owns the run.

    A run's id begins with the kind of its owner: `job-….1`, `session-….1`.
    """

    def __init__(self, machinery: RunObserver) -> None:
        self._machinery = machinery  #: who hears of breakdowns
        self._owners: dict[str, RunObserver] = {}

    def add(self, kind: str, owner: RunObserver) -> None:
        """Tell this owner of its kind of runs from now on."""
        self._owners[kind] = owner

    def run_started(self, run_id: str, *, pid: int, at: float) -> None:
        """A run's command was spawned."""
        self._owner(run_id).run_started(run_id, pid=pid, at=at)

    def run_exited(self, run_id: str, exit: Exit) -> None:
        """A run is over."""
        self._owner(run_id).run_exited(run_id, exit)

    def run_found(self, run_id: str, facts: RunFacts) -> None:
        """A run has no live shim."""
        self._owner(run_id).run_found(run_id, facts)

    def run_refused(self, run_id: str, error: str) -> None:
        """A run could not be begun."""
        self._owner(run_id).run_refused(run_id, error)

    def shim_failed(self, error: str) -> None:
        """The machinery broke down and is being restored."""
        self._machinery.shim_failed(error)

    def _owner(self, run_id: str) -> RunObserver:
        return self._owners.get(run_id.partition("-")[0], self._machinery)


class Observer:
    """The RunObserver of the jobs. `confirm` lets go of a run whose end needs no more recording."""

    def __init__(
        self,
        ledger: Ledger,
        dispatcher: Dispatcher,
        clock: Clock,
        confirm: Callable[[str], None],
        reports: Reports,
    ) -> None:
        self.failures = 0  #: breakdowns of the machinery under the runs
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._clock = clock
        self._confirm = confirm
        self._reports = reports

    def run_started(self, run_id: str, *, pid: int, at: float) -> None:
        """A run's command was spawned."""
        job = self._holder(run_id)
        if job and job.pid != pid:
            self._happened(job, Started(at=at, run_id=run_id, pid=pid))

    def run_exited(self, run_id: str, exit: Exit) -> None:
        """A run is over."""
        job = self._holder(run_id)
        if job:
            self._happened(job, Exited(at=self._clock.now(), run_id=run_id, exit=exit))
        elif not self._ledger.is_saving(_job_of(run_id)):
            self._confirm(run_id)

    def run_found(self, run_id: str, facts: RunFacts) -> None:
        """A run has no live shim: conclude what became of it."""
        job = self._holder(run_id)
        if job:
            now = self._clock.now()
            event = recovery.verdict(job, facts, boot_id=self._clock.boot_id, now=now)
            if event is not None:
                self._happened(job, event)

    def run_refused(self, run_id: str, error: str) -> None:
        """A run could not be begun: put the job back and try again in a moment."""
        self._dispatcher.hold_back(f"the last start was refused: {error}")
        job = self._holder(run_id)
        if job:
            self._happened(job, NotStarted(at=self._clock.now(), run_id=run_id))

    def shim_failed(self, error: str) -> None:
        """The host has repaired itself."""
        self.failures += 1
        log.error("shims: %s", error)

    def _holder(self, run_id: str) -> Job | None:
        """Return the job whose live run this is."""
        job = self._ledger.active(_job_of(run_id))
        return job if job and job.is_live and job.run_id == run_id else None

    def _happened(self, job: Job, event: Event) -> None:
        notes = list[Entry]()
        if isinstance(event, Exited) and job.spec.contract is not None:
            report, notes = self._reports.concluded(job, event.exit)
            event = replace(event, report=report)
        self._ledger.apply_fact(job.id, event, notes)


def _job_of(run_id: str) -> str:
    return run_id.rpartition(".")[0]
