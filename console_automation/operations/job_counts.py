"""How many jobs there are, by status: those of this machine and those of the cluster."""

from console_automation.core.census import by_status, dead_letters
from console_automation.core.job import Status
from console_automation.engine.cluster import Cluster
from console_automation.engine.engine import Engine
from console_automation.operations import cluster_requests as ask
from console_automation.operations import cluster_views as view
from console_automation.operations.submission import Call
from console_automation.ports.stores import JobFilter


async def get_job_counts(
    engine: Engine, call: Call, request: ask.GetJobCounts
) -> view.CountsResult:
    """Return how many jobs there are, for a principal of its own."""
    result: view.CountsResult = {"success": True, "jobs": await _here(engine, call)}
    if engine.cluster is not None and engine.cluster.gateway is not None:
        result["cluster"] = _there(engine.cluster, call)
    return result


async def _here(engine: Engine, call: Call) -> dict[str, int]:
    ledger = engine.jobs.ledger
    if call.principal.is_admin:
        return {status.value: ledger.counts[status] for status in Status}
    found = {}
    for status in Status:
        theirs = JobFilter(statuses=(status,), owner=call.principal.name)
        _, found[status.value] = await ledger.page(theirs, before=None, limit=1)
    return found


def _there(cluster: Cluster, call: Call) -> view.ClusterCounts:
    assert cluster.gateway is not None
    jobs = {job.id: job for job in cluster.gateway.jobs.values() if call.principal.owns(job.owner)}
    found = by_status(jobs)
    return {
        "connected": cluster.bus.is_connected,
        "jobs": {status.value: found[status] for status in Status},
        "deadLetters": len(dead_letters(jobs)),
    }
