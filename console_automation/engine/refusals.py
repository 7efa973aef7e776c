"""Puts on record who was refused something where no client waits for the answer."""

import logging
from asyncio import Future

from console_automation.core.definition import Caller
from console_automation.core.text import one_line
from console_automation.engine.jobs import JobManager
from console_automation.errors import AccessDenied, ConsoleAutomationError
from console_automation.ports.stores import AuditRecord

log = logging.getLogger(__name__)


def note_refusal(
    jobs: JobManager,
    caller: Caller | None,
    refusal: ConsoleAutomationError,
    *,
    of: str,
    subject: str,
) -> None:
    """Put into the audit that a caller was refused: `of` says what, `subject` is its id. What went wrong
    otherwise is no decision, and told elsewhere."""
    if caller is None or not isinstance(refusal, AccessDenied):
        return
    record = AuditRecord(
        at=jobs.clock.now(),
        client=caller.client,
        operation=of,
        job_id=subject,
        outcome=refusal.code,
        detail=one_line(refusal.message, 200),
    )
    jobs.ledger.store.record(record).add_done_callback(_log_failure)


def _log_failure(saved: "Future[None]") -> None:
    if not saved.cancelled() and saved.exception() is not None:
        log.error("a refusal could not be put on record: %s", saved.exception())
