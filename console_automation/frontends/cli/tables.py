"""Jobs and figures for a person to read: aligned, quiet, and as wide as the terminal.

On a terminal rich draws; anywhere else the same columns come as plain text, whole and without colour.
"""

import time
from datetime import datetime

from console_automation.core.text import human_bytes, human_seconds, one_line
from console_automation.frontends.cli.streams import STATUS_COLOURS
from console_automation.operations.texts import verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from console_automation.frontends.cli.streams import Streams

_SHORT_ID = 12  #: characters: the millisecond, and two at random
_LONGEST_COMMAND = 200
_WIDEST_COLUMN = 30  #: characters, but for the last


def jobs(streams: "Streams", listed: "Sequence[Mapping[str, Any]]", *, projects: bool) -> None:
    """Print jobs as a table."""
    head = ["ID", "NAME", "STATUS", "TIME", *(["PROJECT"] if projects else []), "COMMAND"]
    ids = _short([job["id"] for job in listed]) if streams.is_terminal else None
    rows = [_cells(job, ids[job["id"]] if ids else job["id"], projects) for job in listed]
    table(streams, head, rows)


def _cells(job: "Mapping[str, Any]", job_id: str, projects: bool) -> list[str]:
    project = [job.get("project") or ""] if projects else []
    command = one_line(" ".join([job["command"], *job.get("args", [])]), _LONGEST_COMMAND)
    return [job_id, job.get("name", ""), how(job), spent(job), *project, command]


def how(job: "Mapping[str, Any]") -> str:
    """Return a job's status, with its exit code or reason where there is one to know."""
    if job["status"] != "failed":
        return str(job["status"])
    return f"failed {job['exitCode']}" if job["exitCode"] else f"failed {job.get('reason', '')}"


def spent(job: "Mapping[str, Any]") -> str:
    """Return how long a job has run, or waits."""
    if "durationMs" in job:
        return human_seconds(job["durationMs"] / 1000)
    began = job.get("startedAt") or job["createdAt"]
    seconds = time.time() - datetime.fromisoformat(began).timestamp()
    return human_seconds(float(round(max(0.0, seconds))))


def _short(ids: "Sequence[str]") -> dict[str, str]:
    """Return the ids without their kind, as short as tells them apart, and no shorter than need be
    to tell them from those of any other millisecond."""
    bare = sorted(job_id.removeprefix("job-") for job_id in ids)
    short = {}
    for before, each, after in zip(["", *bare], bare, [*bare[1:], ""], strict=False):
        alike = max(_common(each, before), _common(each, after))
        short[f"job-{each}"] = each[: max(_SHORT_ID, alike + 1)]
    return short


def _common(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def table(streams: "Streams", head: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    """Print a table: the last column is cut on a terminal, and whole anywhere else."""
    if streams.is_terminal:
        _drawn(streams, head, rows)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        streams.line("  ".join(cells).rstrip())


def _drawn(streams: "Streams", head: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = list(zip(head, *rows, strict=True))
    # Every column has the room it needs, up to a bound; the last one has what is left.
    widths = [min(max(map(cell_len, column)), _WIDEST_COLUMN) for column in columns[:-1]]
    widths.append(max(len(head[-1]), streams.width - sum(widths) - 2 * len(widths)))
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for name, width in zip(head, widths, strict=True):
        drawn.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        styled = zip(head, row, strict=True)
        drawn.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in styled))
    streams.flush()
    Console(no_color=not streams.has_colours, highlight=False).print(drawn)


def _style(column: str, cell: str) -> str:
    return STATUS_COLOURS.get(cell.split(" ")[0], "") if column == "STATUS" else ""


def job(streams: "Streams", view: "Mapping[str, Any]") -> None:
    """Print all that is worth knowing of a job."""
    colour = STATUS_COLOURS[view["status"]]
    facts = {
        "id": view["id"],
        "name": view.get("name"),
        "status": streams.coloured(verdict(view), colour),  # type: ignore[arg-type]
        "command": one_line(" ".join([view["command"], *view.get("args", [])]), _LONGEST_COMMAND),
        "directory": view["workingDirectory"],
        "project": view.get("project"),
        "session": view.get("sessionId"),
        "created": view["createdAt"],
        "started": view.get("startedAt"),
        "ended": view.get("completedAt"),
        "timeout": human_seconds(view["timeout"] / 1000) if view["timeout"] else "none",
        "attempt": f"{view['attempt']} of {view['maxAttempts']}"
        if view["maxAttempts"] > 1
        else None,
        "pid": view.get("pid") if view["status"] == "running" else None,
        "after": ", ".join(view.get("dependsOn", [])),
        "retry of": view.get("retryOf"),
        "tags": ", ".join(f"{name}={value}" for name, value in view["tags"].items()),
        "output": _printed(view["output"]),
        "usage": _usage(view.get("usage")),
        "left behind": ", ".join(
            f"{each['pid']} {each['command']}" for each in view.get("leftovers", [])
        ),
    }
    _facts(streams, facts)


def _printed(output: "Mapping[str, Any]") -> str:
    dropped = output["droppedBytes"]
    return human_bytes(output["bytes"]) + (f", {human_bytes(dropped)} dropped" if dropped else "")


def _usage(usage: "Mapping[str, Any] | None") -> str | None:
    if usage is None:
        return None
    return (
        f"{usage['cpuSeconds']:.2f} s of processor, {human_bytes(usage['maxRssBytes'])} of memory"
    )


def system(streams: "Streams", daemon: "Mapping[str, Any]", figures: "Mapping[str, Any]") -> None:
    """Print how daemon and queue stand."""
    slots = figures["concurrency"]
    wait, ran = figures["queueWaitMs"], figures["runTimeMs"]
    names = ("pending", "running", "completed", "failed", "cancelled", "interrupted")
    _facts(
        streams,
        {
            "daemon": f"pid {daemon['pid']}, version {daemon['version']}, {daemon['home']}",
            "http": daemon["http"],
            "slots": f"{slots['current']} of {slots['maximum']} in use",
            "jobs": ", ".join(f"{figures[name + 'Jobs']} {name}" for name in names),
            "queue wait": _quantiles(wait),
            "run time": _quantiles(ran),
            "load": f"{figures['systemLoad']} per processor",
        },
    )


def _quantiles(figures: "Mapping[str, Any]") -> str | None:
    if figures["p50"] is None:
        return None
    half, most = (human_seconds(figures[name] / 1000) for name in ("p50", "p95"))
    return f"median {half}, 95 % within {most}"


def _facts(streams: "Streams", facts: "Mapping[str, Any]") -> None:
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    width = max(map(len, known))
    for name, value in known.items():
        streams.line(f"{name:<{width}}  {value}")
