"""The form in which gateways and workers leave jobs and themselves for each other: JSON."""

import json
from dataclasses import asdict
from typing import Any

from console_automation.core.cluster_job import (
    Cancel,
    Child,
    ClusterJob,
    ClusterPhase,
    Copy,
    Holder,
    Late,
    Outcome,
    Refusal,
)
from console_automation.core.codec import Plain, retry_from_plain, retry_to_plain
from console_automation.core.job import Status
from console_automation.core.worker import Worker


def job_to_bytes(job: ClusterJob) -> bytes:
    """Return a job as it is stored; what is at its default is left out."""
    plain = {
        **{name: getattr(job, name) for name in _AS_THEY_ARE},
        "phase": job.phase,
        "retry": retry_to_plain(job.retry),
        "holder": job.holder and asdict(job.holder),
        "cancel": job.cancel and asdict(job.cancel),
        "outcome": job.outcome and _outcome_to_plain(job.outcome),
        "copy": job.copy and {"at": job.copy.at, "job": job.copy.job, "tail": list(job.copy.tail)},
        "children": [asdict(each) for each in job.children],
        "refusals": [asdict(each) for each in job.refusals],
        "late": [asdict(each) for each in job.late],
    }
    return _dumped({key: value for key, value in plain.items() if value not in (None, [], "")})


def job_from_bytes(data: bytes) -> ClusterJob:
    """Return the job that `job_to_bytes` was given. Raises ValueError, LookupError or TypeError."""
    plain = json.loads(data)
    return ClusterJob(
        **{"client": "", "owner": "", "queue": ""}
        | {name: plain[name] for name in _AS_THEY_ARE if name in plain},
        phase=ClusterPhase(plain["phase"]),
        retry=retry_from_plain(plain["retry"]),
        holder=Holder(**plain["holder"]) if "holder" in plain else None,
        cancel=Cancel(**plain["cancel"]) if "cancel" in plain else None,
        outcome=_outcome_from_plain(plain["outcome"]) if "outcome" in plain else None,
        copy=_copy_from_plain(plain["copy"]) if "copy" in plain else None,
        children=tuple(Child(**each) for each in plain.get("children", ())),
        refusals=tuple(Refusal(**each) for each in plain.get("refusals", ())),
        late=tuple(Late(**each) for each in plain.get("late", ())),
    )


_AS_THEY_ARE = (
    "id",
    "request",
    "target",
    "queue",
    "created_at",
    "client",
    "owner",
    "fingerprint",
    "retry_of",
    "group",
    "epoch",
    "not_before",
    "claimed_at",
    "completed_at",
    "reason",
    "error",
)


def _outcome_to_plain(outcome: Outcome) -> Plain:
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "job": outcome.job,
        "tail": list(outcome.tail),
        "result": outcome.result,
    }


def _outcome_from_plain(plain: Plain) -> Outcome:
    return Outcome(
        status=Status(plain["status"]),
        reason=plain["reason"],
        job=plain["job"],
        tail=tuple(plain["tail"]),
        result=plain["result"],
    )


def _copy_from_plain(plain: Plain) -> Copy:
    return Copy(at=plain["at"], job=plain["job"], tail=tuple(plain["tail"]))


def worker_to_bytes(worker: Worker) -> bytes:
    """Return a worker's entry as it is stored."""
    return _dumped(asdict(worker))


def worker_from_bytes(data: bytes) -> Worker:
    """Return the worker that `worker_to_bytes` was given. Raises ValueError or TypeError."""
    return Worker(**json.loads(data))


def _dumped(plain: Any) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode("ascii")
