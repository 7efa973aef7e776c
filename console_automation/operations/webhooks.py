"""Signed requests from outside that start workflows. What is let through is put on record."""

import logging

from console_automation.core.workflow_run import WEBHOOK, summary
from console_automation.engine.engine import Engine
from console_automation.errors import ConsoleAutomationError, WorkflowNotFound
from console_automation.operations import workflow_texts as texts
from console_automation.operations import workflow_views as view
from console_automation.operations.operation import Answer
from console_automation.operations.table import log_failure, refusal
from console_automation.ports.stores import AuditRecord

log = logging.getLogger(__name__)


async def receive(engine: Engine, path: str, body: bytes, signature: str) -> Answer:
    """Begin the run that a request to a webhook asks for. Never raises for what is wrong with it."""
    try:
        run = view.run_view(summary(await engine.workflows.webhook(path, body, signature)))
        answer = Answer({"success": True, "run": run}, texts.run_line(run))
    except WorkflowNotFound as error:
        return refusal(engine, error)  # from whoever it may be: that leaves no trace on the disk
    except ConsoleAutomationError as error:
        answer = refusal(engine, error)
    except Exception:
        log.exception("a webhook failed")
        answer = refusal(engine, ConsoleAutomationError())
    record = AuditRecord(
        at=engine.jobs.clock.now(),
        client=WEBHOOK,
        operation=WEBHOOK,
        job_id=None if answer.is_error else answer.view["run"]["runId"],
        outcome=str(answer.view["code"]) if answer.is_error else "ok",
        detail=path,
    )
    engine.jobs.ledger.store.record(record).add_done_callback(log_failure)
    return answer
