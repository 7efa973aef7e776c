"""Workers, jobs of the cluster and dead letters for a person to read."""

from console_automation.core.text import human_seconds, one_line
from console_automation.frontends.cli.tables import facts, how, shortened, spent, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from console_automation.frontends.cli.streams import Streams

_LONGEST_COMMAND = 200


def workers(streams: "Streams", listed: "Sequence[Mapping[str, Any]]") -> None:
    """Print workers as a table."""
    head = ["HOST", "STATUS", "SLOTS", "WAITING", "LAST HEARD", "VERSION", "LABELS"]
    table(streams, head, [_worker(each) for each in listed])


def _worker(worker: "Mapping[str, Any]") -> list[str]:
    knows = "slots" in worker
    return [
        worker["host"],
        worker["status"],
        f"{worker['running']} of {worker['slots']}" if knows else "",
        str(worker["waiting"]) if knows else "",
        f"{human_seconds(worker['lastHeardMs'] / 1000)} ago",
        worker["version"],
        " ".join(f"{name}={value}" for name, value in worker["labels"].items()),
    ]


def jobs(streams: "Streams", listed: "Sequence[Mapping[str, Any]]") -> None:
    """Print jobs of the cluster as a table."""
    ids = _ids(streams, listed)
    rows = [
        [
            ids[job["id"]],
            job.get("name", ""),
            how(job),
            spent(job),
            job["target"],
            job.get("worker", ""),
            _command(job),
        ]
        for job in listed
    ]
    table(streams, ["ID", "NAME", "STATUS", "TIME", "TARGET", "WORKER", "COMMAND"], rows)


def children(streams: "Streams", listed: "Sequence[Mapping[str, Any]]") -> None:
    """Print how each worker's part of a job stands as a table."""
    streams.line("")
    rows = [
        [
            child["host"],
            child["status"],
            "" if child["exitCode"] is None else str(child["exitCode"]),
            child["jobId"],
            one_line(child.get("error", ""), _LONGEST_COMMAND),
        ]
        for child in listed
    ]
    table(streams, ["HOST", "STATUS", "EXIT CODE", "ID", "ERROR"], rows)


def dead_letters(streams: "Streams", listed: "Sequence[Mapping[str, Any]]") -> None:
    """Print what was given up as a table."""
    ids = _ids(streams, listed)
    rows = [
        [
            ids[job["id"]],
            job.get("name", ""),
            job.get("reason", ""),
            _attempts(job),
            job["target"],
            job["completedAt"],
            _command(job),
        ]
        for job in listed
    ]
    table(streams, ["ID", "NAME", "WHY", "ATTEMPTS", "TARGET", "GIVEN UP", "COMMAND"], rows)


def dead_letter(streams: "Streams", job: "Mapping[str, Any]") -> None:
    """Print why a job was given up, and what each worker that gave it back has said."""
    facts(
        streams,
        {
            "id": job["id"],
            "name": job.get("name"),
            "command": _command(job),
            "target": job["target"],
            "worker": job.get("worker"),
            "created": job["createdAt"],
            "given up": job.get("completedAt"),
            "why": job.get("reason"),
            "exit code": job["exitCode"],
            "error": job.get("error"),
            "attempts": _attempts(job),
        },
    )
    for number, each in enumerate(job.get("refusals", []), start=1):
        streams.line(f"given back {number}: {each}")
    for each in job.get("lateResults", []):
        streams.line(f"said too late: {each['host']}: {each['status']} {each['exitCode']}")


def _attempts(job: "Mapping[str, Any]") -> str:
    return f"{job['attempt']} of {job['maxAttempts']}"


def _command(job: "Mapping[str, Any]") -> str:
    return one_line(" ".join([job["command"], *job.get("args", [])]), _LONGEST_COMMAND)


def _ids(streams: "Streams", listed: "Sequence[Mapping[str, Any]]") -> dict[str, str]:
    ids = [job["id"] for job in listed]
    return shortened(ids) if streams.is_terminal else {each: each for each in ids}
