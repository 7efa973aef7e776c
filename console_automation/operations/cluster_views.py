"""What clients see of the cluster: its jobs as any other job, and its workers."""

from collections.abc import Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from console_automation.core.cluster_job import ClusterJob, ClusterPhase, status_of_group
from console_automation.core.cluster_names import JOB_IDS
from console_automation.core.job import Status
from console_automation.core.text import iso, sanitize
from console_automation.engine.engine import Engine
from console_automation.engine.gateway import Gateway
from console_automation.engine.roster import Standing
from console_automation.errors import Unavailable
from console_automation.operations import views as view

_CHUNKS_OF_AN_ATTEMPT = 1 << 32  #: at most


class WorkerView(TypedDict):
    """A worker. `status` is live, cordoned, or unreachable: not heard of for longer than its lease."""

    host: str
    labels: dict[str, str]
    status: str
    cordonedBy: NotRequired[str]
    version: str
    slots: NotRequired[int]
    running: NotRequired[int]
    waiting: NotRequired[int]
    lastHeardMs: int


class WorkerList(TypedDict):
    """The workers, by host name."""

    success: bool
    workers: list[WorkerView]


class WorkerResult(TypedDict):
    """A worker, and whether it is empty."""

    success: bool
    worker: WorkerView
    drained: bool


class ClusterCounts(TypedDict):
    """The jobs of the cluster, as this machine has last heard of them."""

    connected: bool
    jobs: dict[str, int]
    deadLetters: int


class CountsResult(TypedDict):
    """How many jobs there are, by status."""

    success: bool
    jobs: dict[str, int]
    cluster: NotRequired[ClusterCounts]


class ForgetResult(TypedDict):
    """The job that is removed."""

    success: bool
    jobId: str
    forgotten: bool


def is_cluster_job(job_id: str) -> bool:
    """Whether an id is that of a job of the cluster."""
    return job_id.startswith(JOB_IDS)


def chunks_before(job: ClusterJob) -> int:
    """Return what is added to the numbers of an attempt's chunks. Its worker counts them from 1; who reads
    on from an earlier attempt, of which nobody here knows how many it had, is to miss none of the next."""
    return max(0, job.attempt - 1) * _CHUNKS_OF_AN_ATTEMPT


def gateway_of(engine: Engine) -> Gateway:
    """Return the gateway. Raises Unavailable where there is none."""
    if engine.cluster is None or engine.cluster.gateway is None:
        raise Unavailable(
            "This machine is no gateway to a cluster. Set nats_url and cluster_key (and leave"
            " cluster_gateway on), then restart the daemon."
        )
    return engine.cluster.gateway


def worker_view(standing: Standing) -> WorkerView:
    """Return a worker as clients see it."""
    worker, beat = standing.worker, standing.beat
    seen: WorkerView = {
        "host": worker.host,
        "labels": dict(worker.labels),
        "status": standing.status,
        "version": worker.version,
        "lastHeardMs": round(standing.silence * 1000),
    }
    if worker.cordoned_by:
        seen["cordonedBy"] = worker.cordoned_by
    if beat is not None:
        seen["slots"], seen["running"], seen["waiting"] = beat.slots, beat.running, beat.waiting
    return seen


def cluster_job_view(
    engine: Engine,
    job: ClusterJob,
    children: Sequence[ClusterJob] = (),
    live: view.JobView | None = None,
) -> view.JobView:
    """Return a job of the cluster as clients see it. `live` is what its worker says of it now, if that
    was asked; what its worker said last is in the record."""
    told = job.outcome or job.copy
    said: Any = live or (told and told.job)
    seen: dict[str, Any] = {**_asked(job), **(said or {})}
    seen |= {
        "id": job.id,
        "status": status_of_group(job, children) if job.is_group else job.status,
        "createdAt": iso(job.created_at),
        "attempt": job.attempt,
        "maxAttempts": job.retry.max_attempts,
        "target": job.target,
        "worker": job.holder and job.holder.host,
        "retryOf": job.retry_of,
        "waitingFor": None if job.is_over else _waits_for(engine, job, seen),
        "completedAt": iso(job.completed_at) if job.completed_at else None,
        "refusals": [sanitize(f"{each.host}: {each.why}") for each in job.refusals],
        "lateResults": [
            {"host": each.host, "status": each.status, "exitCode": each.exit_code}
            for each in job.late
        ],
        "children": [_child_view(each) for each in children],
    }
    if job.phase is not ClusterPhase.CLAIMED or not said:
        seen["reason"] = job.reason
        seen["error"] = job.error and sanitize(job.error)
    if job.is_group:
        seen["reason"], seen["error"] = None, _partial(children)
    if job.phase is ClusterPhase.PENDING or seen["status"] not in (
        "completed",
        "failed",
        "cancelled",
    ):
        seen["exitCode"] = None
    if last := seen["output"]["lastSequence"]:
        seen["output"] = {**seen["output"], "lastSequence": last + chunks_before(job)}
    present = {key: value for key, value in seen.items() if value is not None and value != []}
    present.setdefault("exitCode", None)
    if job.request.get("args") is not None:
        present["args"] = list(job.request["args"])
    return present  # type: ignore[return-value]


def _asked(job: ClusterJob) -> dict[str, Any]:
    """Return what is known of a job that no worker has begun."""
    options = job.request.get("options", {})
    return {
        "name": options.get("name"),
        "command": job.request["command"],
        "args": job.request.get("args"),
        "shell": options.get("shell", job.request.get("args") is None),
        "priority": options.get("priority", 5),
        "timeout": round(options.get("timeout") or 0),
        "tags": options.get("tags", {}),
        "workingDirectory": options.get("workingDirectory", "~"),
        "output": {"bytes": 0, "droppedBytes": 0, "chunks": 0, "lastSequence": 0},
    }


def _waits_for(engine: Engine, job: ClusterJob, seen: dict[str, Any]) -> str | None:
    roster = gateway_of(engine).roster
    if job.phase is ClusterPhase.CLAIMED and job.holder:
        if not gateway_of(engine).hears_of(job):
            return f"worker {job.holder.host} has not been heard of for a while; it may go on there"
        waiting: str | None = seen.get("waitingFor")
        return waiting
    if job.is_group:
        return None
    if job.refusals:
        last = job.refusals[-1]
        return f"given back by {last.host}: {last.why}"
    if job.queue == "any":
        some = any(each.is_live for each in roster.standings())
        return "a worker that has room" if some else "a worker: none is reachable"
    found = roster.get(job.target)
    if found is None or not found.is_live:
        return f"worker {job.target}, which is unreachable"
    if found.worker.cordoned_by:
        return f"worker {job.target}, which is cordoned"
    return f"worker {job.target} to have room"


def _child_view(child: ClusterJob) -> view.ChildView:
    code = child.outcome.job.get("exitCode") if child.outcome and child.is_over else None
    seen: view.ChildView = {
        "host": child.target,
        "jobId": child.id,
        "status": child.status,
        "exitCode": code,
    }
    if child.is_over and child.error:
        seen["error"] = sanitize(child.error)
    return seen


def _partial(children: Sequence[ClusterJob]) -> str | None:
    """Say on which workers it did not come to a good end, None when there is none."""
    by_status: dict[str, list[str]] = {}
    for child in children:
        if child.is_over and child.status is not Status.COMPLETED:
            word = child.reason if child.reason == "undelivered" else child.status.value
            by_status.setdefault(word or child.status.value, []).append(child.target)
    if not by_status:
        return None
    good = sum(child.status is Status.COMPLETED for child in children)
    bad = "; ".join(
        f"{'did not respond' if word == 'undelivered' else word}: {', '.join(hosts)}"
        for word, hosts in by_status.items()
    )
    return f"completed on {good} of {len(children)} workers; {bad}"
