"""Schedules for a person to read."""

import json

from console_automation.core.text import human_seconds, one_line
from console_automation.frontends.cli.tables import facts, table
from console_automation.operations.schedule_texts import standing, when

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from console_automation.frontends.cli.streams import Streams

_LONGEST_COMMAND = 200


def schedules(streams: "Streams", listed: "Sequence[Mapping[str, Any]]", *, projects: bool) -> None:
    """Print schedules as a table."""
    head = ["NAME", "WHEN", "NEXT", "LAST", *(["PROJECT"] if projects else []), "COMMAND"]
    table(streams, head, [_cells(each, projects=projects) for each in listed])


def _cells(schedule: "Mapping[str, Any]", *, projects: bool) -> list[str]:
    return [
        schedule["name"],
        when(schedule["trigger"]),
        schedule.get("nextRun", "not active"),
        schedule.get("lastRun", ""),
        *([schedule["project"]] if projects else []),
        _command(schedule),
    ]


def _command(what: "Mapping[str, Any]") -> str:
    return one_line(" ".join([what["command"], *what.get("args", [])]), _LONGEST_COMMAND)


def schedule(streams: "Streams", view: "Mapping[str, Any]") -> None:
    """Print all that is worth knowing of a schedule, its versions and its history."""
    shown = view["schedule"]
    facts(
        streams,
        {
            "name": shown["name"],
            "id": shown["scheduleId"],
            "when": when(shown["trigger"]),
            "standing": standing(shown),
            "command": None if "job" in shown else _command(shown),
            "job": shown.get("job"),
            "input": json.dumps(shown["input"]) if shown.get("input") else None,
            "target": shown.get("target"),
            "directory": shown["workingDirectory"],
            "project": shown["project"],
            "timeout": human_seconds(shown["timeout"] / 1000) if shown["timeout"] else "none",
            "attempts": shown["maxAttempts"] if shown["maxAttempts"] > 1 else None,
            "missed": shown["missed"],
            "overlap": shown["overlap"],
            "jitter": human_seconds(shown["jitterMs"] / 1000) if shown["jitterMs"] else None,
            "metadata": ", ".join(f"{name}={value}" for name, value in shown["metadata"].items()),
            "made": f"{shown['createdAt']} by {shown['createdBy']}",
        },
    )
    for each in view["versions"]:
        mark = "*" if each["version"] == shown["version"] else " "
        streams.line(f"{mark} version {each['version']}: {when(each['trigger'])}, {_command(each)}")
    if view["history"]:
        streams.line("")
        table(streams, ["AT", "JOB", "STATUS"], [_execution(each) for each in view["history"]])


def _execution(execution: "Mapping[str, Any]") -> list[str]:
    until = f" to {execution['until']}" if "until" in execution else ""
    status = execution.get("status") or f"skipped, {execution['skipped']}"
    if "error" in execution:
        status += f": {execution['error']}"
    return [execution["at"] + until, execution.get("jobId", ""), status]
