"""The recovery verdict as a table: the job's row, the run's facts, and what became of the run."""

import pytest

from console_automation.core.job import Job, OutputCounts, Phase, Reason
from console_automation.core.lifecycle import Exited, Lost, NotStarted, RunEvent
from console_automation.core.recovery import Hold, RunFacts, verdict
from tests.builders import exit_of, job

RUN = "job-1.1"
STARTING, RUNNING = job(phase=Phase.STARTING), job(phase=Phase.RUNNING)
STOPPING = job(phase=Phase.STOPPING)
COUNTS = OutputCounts(bytes=3, last_sequence=1)
EXITED = Exited(at=9.0, run_id=RUN, exit=exit_of(42))
LOST = Lost(at=9.0, run_id=RUN, reason=Reason.LOST)
REBOOT = Lost(at=9.0, run_id=RUN, reason=Reason.REBOOT)
NEVER = NotStarted(at=9.0, run_id=RUN)


@pytest.mark.parametrize(
    ("row", "facts", "boot", "expected"),
    [
        (RUNNING, RunFacts(hold=Hold.SHIM), "this-boot", None),
        (STARTING, RunFacts(hold=Hold.SHIM), "this-boot", None),
        (RUNNING, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "this-boot", EXITED),
        (STARTING, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "this-boot", EXITED),
        (STOPPING, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "this-boot", EXITED),
        (RUNNING, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "other-boot", EXITED),
        (RUNNING, RunFacts(hold=Hold.NOBODY, started=True), "this-boot", LOST),
        (RUNNING, RunFacts(hold=Hold.NOBODY, started=True), "other-boot", REBOOT),
        (STARTING, RunFacts(hold=Hold.FENCED), "this-boot", NEVER),
        (STOPPING, RunFacts(hold=Hold.FENCED), "this-boot", NEVER),
        # The row was forced to the disk, the start record was not: nobody knows.
        (STARTING, RunFacts(hold=Hold.FENCED), "other-boot", REBOOT),
        # It ran, says the row; somebody has removed its directory.
        (RUNNING, RunFacts(hold=Hold.FENCED), "this-boot", LOST),
        (
            RUNNING,
            RunFacts(hold=Hold.NOBODY, started=True, output=COUNTS),
            "this-boot",
            Lost(at=9.0, run_id=RUN, reason=Reason.LOST, output=COUNTS),
        ),
    ],
)
def test_what_became_of_a_run_follows_from_the_row_and_the_facts(
    row: Job, facts: RunFacts, boot: str, expected: RunEvent | None
) -> None:
    assert verdict(row, facts, boot_id=boot, now=9.0) == expected
