"""What a worker tells the cluster of a run: how far it has come, and how it has ended."""

from collections.abc import Mapping
from typing import Any

from console_automation.core.cluster_job import Copy, Outcome
from console_automation.core.job import Job, Status
from console_automation.engine.engine import Engine
from console_automation.operations.submission import Call
from console_automation.operations.table import invoke

_LARGEST_RESULT = 1 << 18  #: that is kept in the record, which has to fit a message of NATS


async def copy_of(engine: Engine, call: Call, local: Job) -> Copy:
    """Return what there is to tell of a run that goes on."""
    at = engine.jobs.clock.now()
    return Copy(at=at, job=await _seen(engine, call, local), tail=await _tail(engine, call, local))


def has_news(copy: Copy, last: Copy | None) -> bool:
    """Whether a copy tells more than the last one, or than none."""
    return _told(copy) != ((0, None, None) if last is None else _told(last))


def _told(copy: Copy) -> tuple[Any, ...]:
    return copy.job["output"]["bytes"], copy.job.get("progress"), copy.job.get("logs")


async def outcome_of(engine: Engine, call: Call, local: Job) -> Outcome:
    """Return what there is to tell of a run that is over."""
    result = await engine.jobs.ledger.store.result(local.id)
    return Outcome(
        status=Status(local.status),
        reason=local.reason,
        job=await _seen(engine, call, local),
        tail=await _tail(engine, call, local) if local.output.bytes else (),
        result=result if result is not None and len(result) <= _LARGEST_RESULT else None,
    )


async def _seen(engine: Engine, call: Call, local: Job) -> Mapping[str, Any]:
    seen = await invoke(engine, "console_get_job_status", {"jobId": local.id}, call)
    return dict(seen.view["job"])


async def _tail(engine: Engine, call: Call, local: Job) -> tuple[Mapping[str, Any], ...]:
    size = engine.settings.cluster_output_bytes
    if not size:
        return ()
    asked = {"jobId": local.id, "options": {"latest": True, "maxBytes": size}}
    page = await invoke(engine, "console_get_job_output", asked, call)
    return () if page.is_error else tuple(page.view["output"])
