"""Between a Job and its row."""

import json
import sqlite3
from typing import Any

from pydantic_core import from_json

from console_automation.core.codec import (
    exit_from_plain,
    exit_to_plain,
    spec_from_plain,
    spec_to_plain,
)
from console_automation.core.job import Job, OutputCounts, Phase, Reason

#: One encoder for all: `json.dumps` with separators would make a new one at every call.
dump = json.JSONEncoder(separators=(",", ":")).encode


def load(text: str) -> Any:
    """Return what `dump` was given. A restart reads every pending job: this takes half the time of
    `json.loads`, which has to help out where a name or value was no valid UTF-8."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


_PHASES = {each.value: each for each in Phase}


def state_of(job: Job) -> dict[str, Any]:
    """Return the columns that change, as statement parameters."""
    output = job.output
    return {
        "id": job.id,
        "status": job.status.value,
        "phase": job.phase.value,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "state": dump(
            {
                "attempt": job.attempt,
                "dispatches": job.dispatches,
                "run_id": job.run_id,
                "boot_id": job.boot_id,
                "pid": job.pid,
                "not_before": job.not_before,
                "reason": job.reason,
                "error": job.error,
                "output": [output.bytes, output.dropped_bytes, output.last_sequence],
                "exit": job.exit and exit_to_plain(job.exit),
            }
        ),
    }


def row_of(job: Job) -> dict[str, Any]:
    """Return all columns of a new job, as statement parameters."""
    spec = job.spec
    return state_of(job) | {
        "name": spec.name,
        "project": spec.project or None,
        "session_id": spec.session_id,
        "tags": dump(dict(spec.tags)),
        "idempotency_key": spec.idempotency_key,
        "created_at": spec.created_at,
        "spec": dump(spec_to_plain(spec)),
    }


def job_of(row: sqlite3.Row) -> Job:
    """Return the job that a row describes."""
    state = load(row["state"])
    printed, dropped, last = state["output"]
    return Job(
        id=row["id"],
        spec=spec_from_plain(load(row["spec"])),
        phase=_PHASES[row["phase"]],
        attempt=state["attempt"],
        dispatches=state["dispatches"],
        run_id=state["run_id"],
        boot_id=state["boot_id"],
        pid=state["pid"],
        not_before=state["not_before"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        reason=state["reason"] and Reason(state["reason"]),
        error=state["error"],
        output=OutputCounts(bytes=printed, dropped_bytes=dropped, last_sequence=last),
        exit=state["exit"] and exit_from_plain(state["exit"]),
    )
