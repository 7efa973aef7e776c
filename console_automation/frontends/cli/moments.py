"""From a time to a place in a job's output."""

import time
from argparse import ArgumentTypeError

from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from console_automation.frontends.client import Client


def sequence_before(client: "Client", job_id: str, moment: str) -> int:
    """Return the number of the last chunk that came before a moment: a duration ago, or a time.

    Chunks are numbered in the order in which they came, so a bisection finds it: some thirty small
    questions, however long the output is. Raises Failure.
    """
    at = _instant(moment)
    low, high = 0, _last(client, job_id)
    while low < high:
        middle = (low + high) // 2
        found = _after(client, job_id, middle)
        if found is None:
            high = middle
        elif found[1] < at:
            low = found[0]
        else:
            high = middle
    return low


def _last(client: "Client", job_id: str) -> int:
    job = client.call("console_get_job_status", {"jobId": job_id})["job"]
    return int(job["output"]["lastSequence"])


def _after(client: "Client", job_id: str, sequence: int) -> tuple[int, str] | None:
    """Return number and time of the first chunk after one, None when there is none."""
    asked = {"since": sequence, "limit": 1, "maxBytes": 1}
    page: dict[str, Any] = client.call(
        "console_get_job_output", {"jobId": job_id, "options": asked}
    )
    first = next(iter(page["output"]), None)
    return first and (first["sequenceNumber"], first["timestamp"])


def _instant(moment: str) -> str:
    """Return a moment in the form of the chunks' timestamps, whose order as text is that of time."""
    from datetime import UTC, datetime

    from console_automation.core.text import iso

    try:
        return iso(max(0.0, time.time() - arguments.duration(moment) / 1000))
    except ArgumentTypeError:
        pass
    try:
        given = datetime.fromisoformat(moment)
        return iso((given if given.tzinfo else given.astimezone()).astimezone(UTC).timestamp())
    except (ValueError, OverflowError):  # the second: before or after all time there is
        raise Failure(
            f"--since {moment!r}: neither a duration like 10m nor a time like 2026-11-26T10:00:00Z",
            outcome.USAGE,
        ) from None
