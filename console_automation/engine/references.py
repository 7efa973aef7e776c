"""Which jobs somebody means who gives an id, the beginning of one, or a name."""

from console_automation.core.job import Job
from console_automation.engine.ledger import Ledger

_KIND = "job-"


async def meant(
    ledger: Ledger, reference: str, *, project: str | None, limit: int, owner: str | None = None
) -> tuple[list[Job], int]:
    """Return the jobs that a reference may mean, newest first, and how many those are in all.

    A whole id means its job. Else a name means, of each project that has it, the job that is active,
    or the newest; and if the caller's own project has it, that job alone. Else it is the beginning of
    ids, with or without their kind. Every character stands for itself. With an `owner` there are no jobs
    but theirs.
    """
    job_id = reference if reference.startswith(_KIND) else _KIND + reference
    exact = await ledger.store.get(job_id)
    if exact is not None and owner in (None, exact.spec.owner):
        return ledger.fresh([exact]), 1
    named = [j for j in await ledger.store.named(reference) if owner in (None, j.spec.owner)]
    own = [job for job in named if job.spec.project == project]
    if found := own or named:
        return ledger.fresh(found[:limit]), len(found)
    begun, total = await ledger.store.begun_with(job_id, limit=limit, owner=owner)
    return ledger.fresh(begun), total
