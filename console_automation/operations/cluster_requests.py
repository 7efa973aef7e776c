"""What clients may ask about the cluster's workers, and about jobs here and there."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from console_automation.core.target import checked_host
from console_automation.operations.requests import JobId, Milliseconds, Request

Host = Annotated[str, Field(max_length=200), AfterValidator(checked_host)]


class ListWorkers(Request):
    """List the workers."""


class DrainWorker(Request):
    """Have a worker take no more jobs, or take them again."""

    host: Host
    action: Literal["drain", "cordon", "uncordon", "forget"] = Field(
        "drain",
        description="cordon: no more jobs; drain: the same, and wait until it has none; uncordon: take"
        " them again; forget: drop an unreachable worker.",
    )
    wait_ms: Milliseconds = Field(45_000, description="How long draining waits (45000 at most).")


class GetJobCounts(Request):
    """Count jobs by status."""


class ForgetJob(Request):
    """Remove a finished job."""

    job_id: JobId
